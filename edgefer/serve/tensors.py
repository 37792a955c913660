"""The tensors that go between clients and the models of a repository, by the names that they have for Triton."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.bundle.semantics import CAMERAS
from edgefer.serve.pbtxt import Message, Value, Word

ANSWERS = ("label", "probabilities", "distance", "known")


@dataclass(frozen=True)
class Batching:
    """How a model takes several examples: up to `most` in a request, along an axis that its shapes leave out; or, where
    `most` is 0, as many as its graph was made for, which its shapes then begin with."""

    most: int
    sizes: tuple[int, ...]

    @property
    def fixed(self) -> tuple[int, ...]:
        """What every shape begins with."""
        return () if self.most else (min(self.sizes),)

    def dims(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The dimensions to state of a tensor whose shape begins with the batch."""
        return (*self.fixed, *shape[1:])


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model. `dims` is as the configuration states it, -1 where any size will do."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False
    labels: bool = False

    def outside(self) -> Tensor:
        """As an ensemble states it, which takes a tensor as the models within it do, and reshapes nothing."""
        return replace(self, dims=self.dims or (1,))

    def message(self) -> Message:
        """The entry of the configuration."""
        # Triton wants at least one dimension stated; a vector of the batch alone is that with one element each.
        shape: list[tuple[str, Value]] = [("dims", list(self.dims) or [1])]
        if not self.dims:
            shape.append(("reshape", (("shape", []),)))
        entry: list[tuple[str, Value]] = [("name", self.name), ("data_type", Word(self.data_type)), *shape]
        if self.optional:
            entry.append(("optional", True))
        if self.labels:
            entry.append(("label_filename", "labels.txt"))
        return tuple(entry)


@dataclass(frozen=True)
class Served:
    """What of a graph's inputs images are made into, and what clients give as it is."""

    prepared: tuple[InputSpec, ...]
    passed: tuple[InputSpec, ...]

    @property
    def cameras(self) -> tuple[InputSpec, ...]:
        """The inputs that are images."""
        return tuple(spec for spec in self.prepared if spec.role in CAMERAS)

    @property
    def masked(self) -> bool:
        """Whether a camera may be missing."""
        return any(spec.role == "present" for spec in self.prepared)


def served(graph: GraphSpec) -> Served:
    """Which inputs are pre-processed: the cameras that the manifest calls images, and the mask of them.

    Where a mask speaks of a camera that is no image, clients have to know what it is about: they then give everything.
    """
    cameras = [spec for spec in graph.inputs if spec.role in CAMERAS]
    images = [spec for spec in cameras if spec.image is not None]
    masks = [spec for spec in graph.inputs if spec.role == "present"]
    if not images or (masks and len(images) < len(cameras)):
        return Served((), graph.inputs)
    prepared = (*images, *masks)
    return Served(prepared, tuple(spec for spec in graph.inputs if spec not in prepared))


def image_tensor(spec: InputSpec, batching: Batching, deep: tuple[str, ...], *, optional: bool) -> Tensor:
    """The images of a camera: (H, W, C) of any size, 16 bits for the cameras in `deep`."""
    data_type = "TYPE_UINT16" if spec.role in deep else "TYPE_UINT8"
    return Tensor(str(spec.role), data_type, (*batching.fixed, -1, -1, -1), optional)


def network_tensors(graph: GraphSpec, batching: Batching) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The inputs and outputs of the network itself, all float32."""
    inputs = tuple(Tensor(spec.name, "TYPE_FP32", batching.dims(spec.shape)) for spec in graph.inputs)
    outputs = tuple(Tensor(spec.name, "TYPE_FP32", batching.dims(spec.shape)) for spec in graph.outputs)
    return inputs, outputs


def answer_tensors(classes: int, batching: Batching, *, rejects: bool) -> tuple[Tensor, ...]:
    """What clients are told of a network with classes."""
    known = (
        Tensor("distance", "TYPE_FP32", (*batching.fixed, 1)),
        Tensor("known", "TYPE_BOOL", (*batching.fixed, 1)),
    )
    return (
        Tensor("label", "TYPE_STRING", (*batching.fixed, 1)),
        Tensor("probabilities", "TYPE_FP32", (*batching.fixed, classes), labels=True),
        *(known if rejects else ()),
    )
