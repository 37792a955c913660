"""A part of a graph as a model of its own, to be run by itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxscript import ir

from edgefer_export.checks import Array
from edgefer_export.fuse_attention.values import NoMatch, constant, dims
from edgefer_export.operators import IR_VERSION

# Sizes for axes that a graph leaves open: small, and no two alike.
_OPEN_SIZES = (2, 5, 6, 7, 9, 11, 13)


def sliced(nodes: Iterable[ir.Node], output: ir.Value, opset: int) -> onnx.ModelProto:
    """A model of these nodes, whose inputs are what they read and do not make.

    Arithmetic of shapes that they depend on is taken in, too.

    Raises:
        NoMatch: type or shape of an input is not known.
    """
    inside = set(nodes)
    waiting = list(inside)
    while waiting:
        for value in waiting.pop().inputs:
            node = value.producer() if value is not None else None
            whole = value is not None and value.dtype in (ir.DataType.INT64, ir.DataType.INT32)
            if node is not None and whole and node not in inside and constant(value) is None:
                inside.add(node)
                waiting.append(node)
    ordered = [node for node in output.producer().graph if node in inside]  # type: ignore[union-attr]
    made = {value for node in ordered for value in node.outputs}
    inputs, stored = {}, {}
    for value in (each for node in ordered for each in node.inputs if each is not None):
        array = constant(value)
        if array is not None:
            stored[value.name] = numpy_helper.from_array(np.ascontiguousarray(array), value.name)
        elif value not in made:
            inputs[value.name] = _declared(value)
    kept = [ir.to_proto(node) for node in ordered if node.op_type != "Constant"]
    end = helper.make_tensor_value_info(str(output.name), _element(output), None)
    graph = helper.make_graph(kept, "part", list(inputs.values()), [end], list(stored.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def drawn_feeds(model: onnx.ModelProto, seed: int) -> dict[str, Array]:
    """Standard normal values for each input of a slice, of both signs or positive alone; 0 and 1 for truth values."""
    rng = np.random.default_rng(seed)
    open_sizes: dict[str, int] = {}
    feeds: dict[str, Array] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [
            dim.dim_value or open_sizes.setdefault(dim.dim_param, _OPEN_SIZES[len(open_sizes) % len(_OPEN_SIZES)])
            for dim in tensor.shape.dim
        ]
        drawn = rng.standard_normal(shape)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if dtype == np.bool_:
            feeds[value.name] = drawn > -0.5
        else:
            # What comes out of a ReLU is positive, which is where poolings differ most from their usual inputs.
            feeds[value.name] = (np.abs(3 * drawn) if seed % 2 else drawn).astype(dtype)
    return feeds


def _declared(value: ir.Value) -> onnx.ValueInfoProto:
    shape = dims(value)
    if shape is None or None in shape:
        raise NoMatch(f"the shape of {value.name} is not known")
    return helper.make_tensor_value_info(str(value.name), _element(value), list(shape))


def _element(value: ir.Value) -> int:
    if value.dtype is None:
        raise NoMatch(f"the type of {value.name} is not known")
    return int(value.dtype)
