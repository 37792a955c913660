"""What is known of a graph's tensors before it is parsed: shapes and element types, by ONNX's own inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = -1
"""A size that is chosen later, such as a dynamic batch."""

_FINDING = ("plugin_version", "plugin_namespace")
_ELEMENTS = {"FLOAT": "f32", "FLOAT16": "f16", "INT8": "i8"}


@dataclass(frozen=True)
class Tensor:
    """A tensor: sizes, of which some may be UNKNOWN, and element type: f32, f16, i8, or ONNX's name of another."""

    shape: tuple[int, ...]
    element: str


Known = Mapping[str, Tensor]


def known_tensors(model: Any) -> dict[str, Tensor]:
    """Every tensor of the main graph of which the number of axes is known, by name. `model` is not changed."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    found = {each.name: Tensor(tuple(each.dims), element_of(each.data_type)) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if value.name not in found and tensor.HasField("shape"):
            sizes = (each.dim_value if each.HasField("dim_value") else UNKNOWN for each in tensor.shape.dim)
            found[value.name] = Tensor(tuple(sizes), element_of(tensor.elem_type))
    return found


def element_of(data_type: int) -> str:
    """The element type of ONNX's number for it."""
    from onnx import TensorProto

    name = str(TensorProto.DataType.Name(data_type))
    return _ELEMENTS.get(name, name.lower())


def attributes_of(node: Any) -> dict[str, int | float | str]:
    """A node's attributes that are numbers or texts, but for those by which a parser finds its plugin."""
    from onnx import helper

    values = {each.name: helper.get_attribute_value(each) for each in node.attribute if each.name not in _FINDING}
    read = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    return {name: value for name, value in read.items() if isinstance(value, int | float | str)}
