"""From half precision back to single: the casts to FP16 dropped, the values of weights kept as FP16 rounded them.

CPUs without half-precision arithmetic compute FP16 as conversions around float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefer.errors import BundleError


def to_single(proto: Any) -> Any:
    """`proto` (onnx.ModelProto, without functions) with every float16 tensor as float32; itself where there is none.

    Raises:
        BundleError: float16 comes from something else than weights and casts, or there are branches.
    """
    from onnx import TensorProto, shape_inference

    if not _holds_half(proto):
        return proto
    single = type(proto)()
    single.CopyFrom(proto)
    del single.graph.value_info[:]
    for tensor in single.graph.initializer:
        _widen(tensor)
    for node in single.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise BundleError(f"half precision around the branches of '{node.name}' is not taken apart")
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    single = shape_inference.infer_shapes(single, data_prop=True)
    if _holds_half(single):
        raise BundleError("half precision comes from something else than weights and casts")
    _drop_casts(single.graph)
    return single


def _holds_half(proto: Any) -> bool:
    from onnx import TensorProto

    values = (*proto.graph.input, *proto.graph.value_info, *proto.graph.output)
    if any(value.type.tensor_type.elem_type == TensorProto.FLOAT16 for value in values):
        return True
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in proto.graph.initializer)


def _widen(tensor: Any) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _drop_casts(graph: Any) -> None:
    """Remove casts from float32 to itself; one that gives an output of the graph becomes an Identity."""
    from onnx import TensorProto

    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for value in (*graph.input, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            floats.add(value.name)
    outputs = {value.name for value in graph.output}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = source.get(name, name)
        redundant = node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT and node.input[0] in floats
        if redundant and node.output[0] not in outputs:
            source[node.output[0]] = node.input[0]
            continue
        if redundant:
            node.op_type = "Identity"
            del node.attribute[:]
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
