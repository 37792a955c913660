"""What an ONNX graph says of its nodes: block, operations, and whether they are products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgefer.benchmark.layers.blocks import Node, blocks_of
from edgefer.benchmark.layers.work import Tensor, is_product, operations
from edgefer.engine.portable import for_parser
from edgefer.errors import EdgeferError

# onnx.TensorProto's numbers; those that are not here have no size of interest.
_TYPES = {
    1: "fp32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "fp16",
    11: "fp64",
    16: "bf16",
}


@dataclass(frozen=True)
class NodeFacts:
    """What the graph says of one node. `operations` is None where a shape cannot be inferred."""

    block: str
    kind: str
    product: bool
    operations: float | None


def nodes_of(model: Any) -> list[Node]:
    """The nodes of an `onnx.ModelProto`, in its order."""
    return [
        Node(node.name, node.op_type, tuple(filter(None, node.input)), tuple(filter(None, node.output)))
        for node in model.graph.node
    ]


def graph_facts(onnx_bytes: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NodeFacts]:
    """Facts by node name, of the graph with its functions inlined, as TensorRT's parser sees it; a node without a name
    goes by its first output.

    Args:
        onnx_bytes: a bundle's graph.
        shapes: of its inputs, batch included.

    Raises:
        EnvironmentMismatch: the package `onnx` is not installed.
        BundleError, CompileError: the graph cannot be read or inlined.
    """
    onnx = _onnx(for_parser(onnx_bytes))
    model, tensors = onnx, _tensors(onnx, shapes)
    nodes = nodes_of(model)
    facts = {}
    for node, block in zip(nodes, blocks_of(nodes), strict=True):
        kind = node.kind
        known = [tensors.get(name) for name in (*node.inputs, *node.outputs)]
        done = None
        if all(tensor is not None for tensor in known):
            inputs = [tensors[name] for name in node.inputs]
            done = operations(kind, inputs, [tensors[name] for name in node.outputs])
        facts[node.name or node.outputs[0]] = NodeFacts(block, kind, is_product(kind), done)
    return facts


def _onnx(data: bytes) -> Any:
    import onnx

    return onnx.ModelProto.FromString(data)


def _tensors(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    from onnx import shape_inference

    for value in model.graph.input:
        for axis, length in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            axis.dim_value = length
    del model.graph.value_info[:]  # inferred for another batch, perhaps
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except (RuntimeError, ValueError) as error:  # InferenceError of onnx is a RuntimeError
        raise EdgeferError("the shapes of the graph's tensors cannot be inferred", details=str(error)) from error
    graph = inferred.graph
    tensors = {each.name: Tensor(_TYPES.get(each.data_type, "unknown"), tuple(each.dims)) for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        axes = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in kind.shape.dim)
        if kind.HasField("shape") and -1 not in axes:
            tensors.setdefault(value.name, Tensor(_TYPES.get(kind.elem_type, "unknown"), axes))
    return tensors
