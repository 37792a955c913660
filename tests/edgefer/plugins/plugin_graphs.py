"""Nodes of every operator with random tensors, as models with one node: for parsers, and for onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefer.plugins.fields import PRESENT, SCALES
from edgefer_export.operators import IR_VERSION, OPSET, attach_functions
from edgefer_export.operators.signatures import DOMAIN, OPERATORS

Arrays = dict[str, NDArray[Any]]
_ONNX_TYPES = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "i8": TensorProto.INT8}
MAPS = {"X": "x_scale", "R": "r_scale", "F": "x_scale", "Fv": "x_scale", "Fi": "r_scale", "Z": "x_scale"}
"""The scale of each input that is a map."""


@dataclass(frozen=True)
class Sample:
    """One node: its operator and attributes, float32 tensors by input, and the shape of its output."""

    operator: str
    attributes: Mapping[str, int | float | str]
    tensors: Arrays
    output: tuple[int, ...]

    @property
    def present(self) -> int:
        """The mask of optional inputs."""
        signature = OPERATORS[self.operator]
        optional = [name for name in signature.inputs if name in signature.optional]
        return sum(1 << bit for bit, name in enumerate(optional) if name in self.tensors)


def sample(
    operator: str,
    *,
    channels: int = 32,
    size: tuple[int, int] = (7, 5),
    without: tuple[str, ...] = (),
    **attributes: Any,
) -> Sample:
    """A node of an operator on two maps of `size` (the second input of a fusion has maps of 3 x 4)."""
    rng = np.random.default_rng(7)
    n, c, hidden, (height, width) = 2, channels, 4, size
    kernel = int(attributes.get("spatial_kernel", 7))
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "CbamAttention": {
            **{"X": (n, c, height, width), "W1": (hidden, c), "b1": (hidden,), "W2": (c, hidden), "b2": (c,)},
            **{"Ws": (1, 2, kernel, kernel), "bs": (1,), "R": (n, c, height, width)},
        },
        "ChannelGate": {"X": (n, c, height, width), "W1": (hidden, c), "b1": (hidden,), "W2": (c, hidden), "b2": (c,)},
        "GatedPool": {"F": (n, c, height, width), "W": (c, c), "b": (c,)},
        "GatedFusion": {
            **{"Fv": (n, c, height, width), "Fi": (n, c, 3, 4), "Wv": (c, c), "bv": (c,), "Wi": (c, c), "bi": (c,)},
            "P": (n, 2),
        },
        "LocalGate": {"Z": (n, c, height, width), "W1": (hidden, c), "b1": (hidden,), "W2": (c, hidden), "b2": (c,)},
    }
    chosen = {name: shape for name, shape in shapes[operator].items() if name not in without}
    tensors = {name: _random(rng, name, shape) for name, shape in chosen.items()}
    outputs = {"GatedPool": (n, c), "LocalGate": (n, c), "GatedFusion": (n, 2 * c)}
    return Sample(operator, attributes, tensors, outputs.get(operator, (n, c, height, width)))


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name == "P":
        return np.array([[1, 0.5], [0, 1]] * (shape[0] // 2 + 1), np.float32)[: shape[0]]
    if name in MAPS:
        return rng.standard_normal(shape).astype(np.float32)
    return (rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def model(
    given: Sample, element: str = "f32", *, dynamic: bool = False, scales: Mapping[str, float] | None = None
) -> bytes:
    """The node alone, as a parser that has its plugin is given it: empty inputs left out, no function.

    With `scales` those maps are quantised before it, and its output dequantised where `y_scale` is among them.
    """
    scales = {} if scales is None else dict(scales)
    attributes = {**given.attributes, **scales}
    if OPERATORS[given.operator].optional:
        attributes[PRESENT] = given.present
    nodes, inputs, constants = [], [], []
    names = [name for name in OPERATORS[given.operator].inputs if name in given.tensors]
    typed = {
        name: array.astype(np.float16 if element == "f16" else np.float32) for name, array in given.tensors.items()
    }
    reads = []
    for name in names:
        shape: list[Any] = list(given.tensors[name].shape)
        if name not in MAPS and name != "P":
            constants.append(numpy_helper.from_array(typed[name], name))
            reads.append(name)
            continue
        inputs.append(
            helper.make_tensor_value_info(name, _ONNX_TYPES[element], ["N", *shape[1:]] if dynamic else shape)
        )
        if MAPS.get(name) in scales:
            constants.append(numpy_helper.from_array(np.array(scales[MAPS[name]], typed[name].dtype), f"{name}_s"))
            constants.append(numpy_helper.from_array(np.int8(0), f"{name}_z"))
            nodes.append(
                helper.make_node("QuantizeLinear", [name, f"{name}_s", f"{name}_z"], [f"{name}_q"], name=f"{name}_q")
            )
            reads.append(f"{name}_q")
        else:
            reads.append(name)
    signature = OPERATORS[given.operator]
    output = "y_q" if "y_scale" in scales else "out"
    nodes.append(
        helper.make_node(
            given.operator,
            reads,
            [output],
            name="attention",
            domain=DOMAIN,
            plugin_version="1",
            plugin_namespace=DOMAIN,
            **{name: value for name, value in attributes.items() if name in (*signature.attributes, *SCALES, PRESENT)},
        )
    )
    if "y_scale" in scales:
        constants.append(numpy_helper.from_array(np.array(scales["y_scale"], typed[names[0]].dtype), "y_s"))
        constants.append(numpy_helper.from_array(np.int8(0), "y_z"))
        nodes.append(helper.make_node("DequantizeLinear", ["y_q", "y_s", "y_z"], ["out"], name="y_dq"))
    shape = list(given.output)
    result = helper.make_tensor_value_info("out", _ONNX_TYPES[element], ["N", *shape[1:]] if dynamic else shape)
    graph = helper.make_graph(nodes, "one", inputs, [result], constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())


def definition(given: Sample) -> onnx.ModelProto:
    """The node with its function in float32, as onnxruntime runs it; every tensor is an input of the model."""
    signature = OPERATORS[given.operator]
    reads = [name if name in given.tensors else "" for name in signature.inputs]
    while reads and not reads[-1]:
        reads.pop()
    node = helper.make_node(given.operator, reads, ["out"], domain=DOMAIN, **given.attributes)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in given.tensors.items()
    ]
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, given.output)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    graph = helper.make_graph([node], "definition", inputs, [result])
    return attach_functions(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)).model
