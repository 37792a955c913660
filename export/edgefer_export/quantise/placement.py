"""Which nodes are computed in INT8, and from which tensors.

Conv, Gemm and MatMul with constant float32 weights are quantised: activation and weights. Add and MaxPool get no
Q/DQ of their own: TensorRT-RTX builds the same number of layers with them, and each further Q costs accuracy. A
residual Add still reads a tensor dequantised where a quantised layer has put Q/DQ on it, as NVIDIA's own tools place
it, so that the identity branch is stored once, as INT8. Everything else, nodes of domain `edgefer` included, reads the
floating-point tensor: a plugin cannot absorb a DQ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, TensorProto

from edgefer.errors import CalibrationError, UsageError
from edgefer_export.operators import DOMAIN
from edgefer_export.quantise.graph_index import ONNX_DOMAINS, GraphIndex, nodes_within, subgraphs
from edgefer_export.quantise.result import Layer

QUANTISED_OPERATORS = ("Conv", "Gemm", "MatMul")
# ConvTranspose has its output channels on axis 1, divided by groups, which TensorRT releases take differently.
FLOAT_OPERATORS = ("ConvTranspose",)
_NAMES_SHOWN = 8


@dataclass(frozen=True)
class QuantisedLayer:
    """One node to be computed in INT8: its activation is input 0, its weights are input 1.

    `weight` is the constant behind input 1, `axis` that of its output channels.
    """

    index: int
    name: str
    op_type: str
    activation: str
    weight: str
    axis: int


@dataclass(frozen=True)
class Placement:
    """The decision for a whole graph; `float_layers` is keyed by a node's index in the graph."""

    int8_layers: tuple[QuantisedLayer, ...]
    float_layers: dict[int, Layer]
    residual_adds: frozenset[int]
    notes: tuple[str, ...]

    @property
    def activations(self) -> list[str]:
        """The tensors that need a range, each once, in the order of the graph."""
        return list(dict.fromkeys(layer.activation for layer in self.int8_layers))

    def without(self, dead: dict[str, str]) -> Placement:
        """The placement with the layers on the given activations left in floating point, for the reason given."""
        kept = tuple(layer for layer in self.int8_layers if layer.activation not in dead)
        moved = {
            layer.index: Layer(layer.name, layer.op_type, "float", dead[layer.activation])
            for layer in self.int8_layers
            if layer.activation in dead
        }
        return Placement(kept, {**self.float_layers, **moved}, self.residual_adds, self.notes)

    def layers(self) -> tuple[Layer, ...]:
        """All layers in the order of the graph."""
        found = dict(self.float_layers)
        found.update({layer.index: Layer(layer.name, layer.op_type, "int8") for layer in self.int8_layers})
        return tuple(found[index] for index in sorted(found))


def place(graph: GraphProto, exclude: tuple[str, ...]) -> Placement:
    """Decide for each node of a graph whose nodes all have names.

    Raises:
        UsageError: an expression of `exclude` matches no node.
        CalibrationError: nothing is left to quantise.
    """
    excluded_by, notes = _match(graph, exclude)
    constants = GraphIndex(graph)
    int8_layers: list[QuantisedLayer] = []
    float_layers: dict[int, Layer] = {}
    for index, node in enumerate(graph.node):
        if not _is_layer(node):
            continue
        if node.name in excluded_by:
            reason = f"matches the exclusion '{excluded_by[node.name]}'"
        else:
            reason = _obstacle(node, constants)
        if reason:
            float_layers[index] = Layer(node.name, node.op_type, "float", reason)
        else:
            weight = constants.constant_name(node.input[1])
            layer = QuantisedLayer(index, node.name, node.op_type, node.input[0], weight, _channel_axis(node))
            int8_layers.append(layer)
    if not int8_layers:
        raise _nothing_left(float_layers)
    residual_adds = frozenset(
        index
        for index, node in enumerate(graph.node)
        if node.op_type == "Add"
        and node.domain in ONNX_DOMAINS
        and node.name not in excluded_by
        and not any(constants.is_constant(name) for name in node.input)
    )
    notes += _notes(graph, float_layers)
    return Placement(tuple(int8_layers), float_layers, residual_adds, tuple(notes))


def _is_layer(node: NodeProto) -> bool:
    if node.domain == DOMAIN:
        return True
    return node.domain in ONNX_DOMAINS and node.op_type in (*QUANTISED_OPERATORS, *FLOAT_OPERATORS)


def _match(graph: GraphProto, exclude: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Map the name of each excluded node to the expression that matched it first; notes on those without effect."""
    excluded_by: dict[str, str] = {}
    notes: list[str] = []
    for pattern in exclude:
        expression = re.compile(pattern)
        matched = [node for node in graph.node if expression.search(node.name)]
        if not matched:
            layers = [node.name for node in graph.node if _is_layer(node)]
            shown = "\n".join(f"  {name}" for name in layers[:_NAMES_SHOWN])
            raise UsageError(
                f"the exclusion '{pattern}' matches no node of the graph",
                details=f"the graph has {len(layers)} layers, among them:\n{shown}" if layers else "",
                hint="expressions are searched for in the names of the exported nodes, with case",
            )
        if not any(_is_layer(node) or node.op_type == "Add" for node in matched):
            notes.append(f"the exclusion '{pattern}' matches only nodes that are never quantised")
        for node in matched:
            excluded_by.setdefault(node.name, pattern)
    return excluded_by, notes


def _obstacle(node: NodeProto, constants: GraphIndex) -> str:
    """Why a layer cannot be quantised; empty when it can."""
    if node.domain == DOMAIN:
        return "an operator of domain edgefer is computed in floating point"
    if node.op_type in FLOAT_OPERATORS:
        return f"{node.op_type} is kept in floating point"
    activation, weight = node.input[0], node.input[1]
    if not constants.is_constant(weight):
        return "its weights are not constant"
    if constants.is_constant(activation):
        return "its activation is a constant"
    tensor = constants.constant_tensor(weight)
    if tensor.data_type != TensorProto.FLOAT:
        return f"its weights are {TensorProto.DataType.Name(tensor.data_type).lower()}, not float32"
    rank = len(tensor.dims)
    expected = (3, 4, 5) if node.op_type == "Conv" else (2,)
    if rank not in expected:
        wanted = ", ".join(str(value) for value in expected)
        return f"its weights have {rank} axes, INT8 needs {wanted}"
    return ""


def _channel_axis(node: NodeProto) -> int:
    """The axis of the weights that runs over output channels: (K, C, ...) of Conv, (K, N) or (N, K) of Gemm, (K, N)
    of MatMul."""
    if node.op_type == "Conv":
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def _nothing_left(float_layers: dict[int, Layer]) -> CalibrationError:
    if not float_layers:
        return CalibrationError(
            f"the graph has no layer to quantise: it holds none of {', '.join(QUANTISED_OPERATORS)}",
            hint="build it with --precision fp16 or fp32",
        )
    lines = [f"  {layer.name}: {layer.reason}" for layer in float_layers.values()]
    more = [f"  and {len(lines) - _NAMES_SHOWN} more"] if len(lines) > _NAMES_SHOWN else []
    return CalibrationError(
        f"nothing is left to quantise: all {len(lines)} layers stay in floating point",
        details="\n".join(lines[:_NAMES_SHOWN] + more),
        hint="exclude less, or build with --precision fp16 or fp32",
    )


def _notes(graph: GraphProto, float_layers: dict[int, Layer]) -> list[str]:
    notes = []
    transposed = [layer.name for layer in float_layers.values() if layer.op_type in FLOAT_OPERATORS]
    if transposed:
        notes.append(f"{len(transposed)} ConvTranspose stay in floating point: {', '.join(transposed)}")
    inside = sum(
        node.op_type in QUANTISED_OPERATORS
        for outer in graph.node
        for body in subgraphs(outer)
        for node in nodes_within(body)
    )
    if inside:
        notes.append(f"{inside} layers inside control flow stay in floating point")
    return notes
