"""The inputs of a file as inputs of a bundle: one shape each, float32, a batch axis in front, a role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edgefer.bundle.manifest import ImageSpec, InputSpec, Role
from edgefer.errors import InputError, UsageError
from edgefer_export.networks.roles import is_infrared

_TAKEN = (
    *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL),
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
)
_HALF_WORDS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class FileInput:
    """One input as the file has it.

    Attributes:
        element: its type, of `onnx.TensorProto`.
        shape: every axis fixed; the batch, where there is one, is 1.
        batched: whether the first axis is the batch. Otherwise the bundle's input has one of size 1 in front of it.
        repeat: how many equal examples the file wants at once, where its batch is fixed to more than 1.
    """

    name: str
    element: int
    shape: tuple[int, ...]
    batched: bool
    repeat: int = 1

    @property
    def bundle_shape(self) -> tuple[int, ...]:
        """The shape of the bundle's input."""
        return self.shape if self.batched else (1, *self.shape)

    @property
    def integer(self) -> bool:
        """Whether it takes whole numbers or truth values."""
        return self.element not in _HALF_WORDS

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The smallest and largest whole number that it takes; None where it takes others, too, or truth values."""
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(self.element))
        return (int(np.iinfo(kind).min), int(np.iinfo(kind).max)) if kind.kind in "iu" else None

    def to_file(self, tensor: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """What the file is fed for one example (1, ...) of the bundle's input."""
        value = tensor if self.batched else tensor[0]
        value = np.repeat(value, self.repeat, axis=0) if self.repeat > 1 else value
        return np.asarray(value, helper.tensor_dtype_to_np_dtype(self.element), order="C")


def file_inputs(graph: onnx.GraphProto, given: Mapping[str, tuple[int, ...]], where: str) -> tuple[FileInput, ...]:
    """The inputs of a tidied graph, with shapes from the graph and from `--input`.

    Raises:
        UsageError: a name or shape of `--input` does not fit the graph, or a size that it leaves open is missing.
        InputError: an input is no tensor, or of a type that no runner takes.
    """
    names = [value.name for value in graph.input]
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise UsageError(f"{where} has no input `{unknown[0]}`.", hint=f"Its inputs are {', '.join(names) or 'none'}.")
    return tuple(_file_input(value, given.get(value.name), where) for value in graph.input)


def input_specs(
    inputs: tuple[FileInput, ...], roles: Mapping[str, Role], band: str | None, where: str
) -> tuple[tuple[InputSpec, ...], tuple[str, ...]]:
    """The bundle's inputs, and what there is to note about them.

    A role is the one stated. Else an image, which is (1, 1 or 3, H, W), is of the camera that its name says; where two
    would be of one camera, none of them is.

    Raises:
        UsageError: a camera's input is no image, or two inputs are stated to be of one role.
    """
    notes = []
    chosen = {entry.name: roles.get(entry.name) or _guess(entry) for entry in inputs}
    stated = Counter(role for role in roles.values() if role != "other")
    if twice := [role for role, count in stated.items() if count > 1]:
        raise UsageError(f"`--input` gives the role `{twice[0]}` to several inputs; one of each is possible.")
    for camera in ("visible", "infrared"):
        same = [name for name, role in chosen.items() if role == camera and name not in roles]
        if len(same) + stated[camera] > 1:
            chosen.update(dict.fromkeys(same, "other"))
            notes.append(
                f"the inputs {', '.join(same)} are taken as tensors, not as {camera} images; "
                f"--input NAME=SHAPE:{camera} states which one is"
            )
    specs = tuple(_input_spec(entry, chosen[entry.name], band, where) for entry in inputs)
    for entry in inputs:
        kind = TensorProto.DataType.Name(entry.element).lower()
        if entry.element != TensorProto.FLOAT:
            notes.append(f"input {entry.name} is {kind} in the file; the bundle takes float32 and casts")
        if not entry.batched:
            notes.append(f"input {entry.name} has no batch axis in the file; the bundle takes {entry.bundle_shape}")
        if entry.repeat > 1:
            notes.append(f"input {entry.name} has the batch {entry.repeat} in the file; the bundle takes 1")
    return specs, tuple(notes)


def _file_input(value: onnx.ValueInfoProto, given: tuple[int, ...] | None, where: str) -> FileInput:
    name = value.name
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "nothing"
        raise InputError(f"{where}: input '{name}' is a {kind}, expected a tensor", hint="export it with tensors alone")
    tensor = value.type.tensor_type
    if tensor.elem_type not in _TAKEN:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise InputError(
            f"{where}: input '{name}' is of type {kind}, which no runner takes",
            hint="export the network with float32 inputs",
        )
    sizes = [_size(axis) for axis in tensor.shape.dim] if tensor.HasField("shape") else None
    if sizes is None:
        return _without_rank(name, tensor.elem_type, given, where)
    shape, repeat = _fixed(name, sizes, given, where)
    batched = bool(shape) and shape[0] == 1 and (sizes[0] in (None, 1) or repeat > 1)
    return FileInput(name, tensor.elem_type, shape, batched, repeat)


def _size(axis: onnx.TensorShapeProto.Dimension) -> int | None:
    # Some tools write a free axis as -1.
    return int(axis.dim_value) if axis.HasField("dim_value") and axis.dim_value >= 0 else None


def _without_rank(name: str, element: int, given: tuple[int, ...] | None, where: str) -> FileInput:
    if given is None:
        raise UsageError(
            f"{where} does not say which shape its input `{name}` has.",
            hint=f"State it as --input {name}=3x224x224, or whole as --input {name}=1x3x224x224.",
        )
    shape = (1, *given) if len(given) == 3 else given
    return FileInput(name, element, shape, batched=len(shape) > 1 and shape[0] == 1)


def _fixed(
    name: str, sizes: list[int | None], given: tuple[int, ...] | None, where: str
) -> tuple[tuple[int, ...], int]:
    """The shape with every axis fixed, and the batch that the file insists on where that is more than 1."""
    shown = "x".join("?" if size is None else str(size) for size in sizes) or "a scalar"
    repeat = 1
    if given is None:
        wanted: list[int | None] = [1 if index == 0 and size is None else size for index, size in enumerate(sizes)]
    elif len(given) == len(sizes):
        wanted = list(given)
    elif len(given) == len(sizes) - 1:
        repeat = sizes[0] or 1
        wanted = [1, *given]
    else:
        raise UsageError(
            f"`--input {name}` has {len(given)} sizes; the input `{name}` of {where} is {shown}.",
            hint="Give all of its sizes, or all but the batch.",
        )
    open_axes = [index for index, size in enumerate(wanted) if size is None]
    if open_axes:
        raise UsageError(
            f"{where} leaves the sizes of its input `{name}` open: {shown}.",
            hint=f"State them as --input {name}={'x'.join('N' if s is None else str(s) for s in sizes[1:])}.",
        )
    compared = range(1 if repeat > 1 else 0, len(sizes))
    for index in compared:
        if sizes[index] is not None and sizes[index] != wanted[index]:
            raise UsageError(
                f"`--input {name}` has the size {wanted[index]} where the input of {where} is fixed to {sizes[index]}: "
                f"{shown}.",
                hint="Only sizes that the file leaves open can be chosen; export it with others.",
            )
    return tuple(int(size) for size in wanted if size is not None), repeat


def _guess(entry: FileInput) -> Role:
    if not _is_image(entry) or entry.element == TensorProto.BOOL:
        return "other"
    return "infrared" if is_infrared(entry.name) else "visible"


def _is_image(entry: FileInput) -> bool:
    return entry.batched and len(entry.shape) == 4 and entry.shape[1] in (1, 3)


def _input_spec(entry: FileInput, role: Role, band: str | None, where: str) -> InputSpec:
    if role == "saliency" and _is_image(entry) and not entry.integer:
        return InputSpec(name=entry.name, role=role, shape=entry.bundle_shape, image=ImageSpec(colour="grey"))
    if role not in ("visible", "infrared"):
        return InputSpec(name=entry.name, role=role, shape=entry.bundle_shape)
    if not _is_image(entry):
        raise UsageError(
            f"Input `{entry.name}` of {where} is {entry.bundle_shape}, which is no {role} image: (1, C, H, W) with "
            "1 or 3 channels is expected.",
            hint=f"State it as --input {entry.name}=SHAPE:other, or export the network with the channels first.",
        )
    seen = role if role == "visible" else (band or ("nir" if entry.name.lower().startswith("nir") else "lwir"))
    image = ImageSpec(
        colour="grey" if entry.shape[1] == 1 else "rgb",
        # An integer input holds the values of an image's bytes; 0..1 would be cast to 0.
        range=(0.0, 255.0) if entry.integer else (0.0, 1.0),
        band=seen,  # type: ignore[arg-type]
    )
    return InputSpec(name=entry.name, role=role, shape=entry.bundle_shape, image=image)
