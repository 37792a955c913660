"""The one form in which the rest of the host half knows a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from edgefer.bundle.manifest import GraphRole, InputSpec, Precision
from edgefer.errors import UsageError
from edgefer_export.networks.forward import LOGITS
from edgefer_export.networks.network import ExportedGraph, Outputs, Tensors
from edgefer_export.spec import ExporterChoice


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with all that an export must know of it.

    `options` holds every option as text, defaults included, so that `create` makes the same network again. `inputs`
    are named as in the network's `forward`, or stand in its order; `labels` are in the order of the logits. `source`
    says where it came from: the paper, or the user's file. `exporter` is which of torch's exporters to try.
    `logits` is the output of class scores; where it is None, there are no labels. `targets` are the images that a
    training needs beside the inputs, described as inputs are.
    """

    module: nn.Module
    name: str
    options: dict[str, str]
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    graph_role: GraphRole
    source: str
    exporter: ExporterChoice = "torchscript"
    logits: str | None = LOGITS
    targets: tuple[InputSpec, ...] = ()

    reference_name = "fp32 network"
    first_step = "exported"
    digest = None
    fixed_shapes = True

    @property
    def parameters(self) -> int:
        """Number of trainable and frozen parameters; buffers such as running statistics do not count."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def answer_elements(self) -> int:
        """The number of logits; what else a network gives is small beside an image, or ours."""
        return len(self.labels)

    @property
    def native(self) -> Precision:
        """The precision that its weights are in."""
        return "fp32"

    def reference(self) -> Callable[[Tensors], Outputs]:
        """The module in FP32."""
        from edgefer_export.runners import network_function

        return network_function(self)

    def noise(self, spec: InputSpec, count: int, rng: np.random.Generator) -> npt.NDArray[np.generic]:
        """`count` examples of one input where there is no data: uint8 codes of an image, or float32."""
        shape = (count, *spec.shape[1:])
        if spec.image is not None:
            return rng.integers(0, 256, shape, dtype=np.uint8)
        if spec.role == "present":
            return np.ones(shape, np.float32)
        return rng.random(shape, dtype=np.float32)

    def export(self, feeds: Iterable[Tensors] | None, batches: tuple[int, ...]) -> ExportedGraph:
        """The module exported by torch, and checked against a float64 copy of it."""
        from edgefer_export.onnx_export import export_onnx

        return export_onnx(self, feeds, batches=batches)


def check_labels(labels: tuple[str, ...]) -> None:
    """Raises UsageError for fewer than two labels, an empty one or one that occurs twice."""
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UsageError(f"labels occur twice: {', '.join(twice)}", hint="each class needs its own label")
    if len(labels) < 2 or not all(labels):
        raise UsageError(f"expected two or more labels, found {list(labels)}", hint="name each class")


def class_names(count: int) -> tuple[str, ...]:
    """Labels for classes that nobody named."""
    return tuple(f"class_{index}" for index in range(count))
