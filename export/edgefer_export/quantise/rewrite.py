"""Writing Q/DQ into the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgefer.errors import CalibrationError
from edgefer_export.quantise.graph_index import GraphIndex, UniqueNames, names_read
from edgefer_export.quantise.placement import Placement, QuantisedLayer
from edgefer_export.quantise.weights import quantise_weights


def insert_qdq(model: onnx.ModelProto, placement: Placement, scales: Mapping[str, float]) -> onnx.ModelProto:
    """A new model with Q/DQ on the activations of the placement's layers and their weights as INT8 behind a DQ.

    Each activation gets one pair, which all quantised layers and residual Adds that read the tensor share; each weight
    is stored once per axis. Float weights that nothing reads any more are dropped. Biases stay float32.

    Args:
        model: with named nodes; not changed.
        scales: positive, by activation tensor.

    Raises:
        CalibrationError: weights that hold NaN or infinity.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    writer = _Writer(result, placement, scales)
    nodes = writer.rewritten()
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(writer.initialisers)
    _drop_unused_constants(result.graph, {layer.weight for layer in placement.int8_layers})
    return result


class _Writer:
    def __init__(self, model: onnx.ModelProto, placement: Placement, scales: Mapping[str, float]) -> None:
        self.initialisers: list[TensorProto] = []
        self._graph = model.graph
        self._constants = GraphIndex(model.graph)
        self._names = UniqueNames(model.graph)
        self._scales = scales
        self._layers = {layer.index: layer for layer in placement.int8_layers}
        self._activations = placement.activations
        self._residual_adds = placement.residual_adds
        self._dequantised: dict[str, str] = {}
        self._weights: dict[tuple[str, int], str] = {}

    def rewritten(self) -> list[NodeProto]:
        """The nodes in topological order: Q and DQ directly behind a tensor's producer, a weight's DQ directly before
        its first reader."""
        wanted = set(self._activations)
        nodes: list[NodeProto] = []
        for value in self._graph.input:
            if value.name in wanted:
                nodes += self._pair(value.name)
        for index, node in enumerate(self._graph.node):
            layer = self._layers.get(index)
            if layer is not None:
                node.input[0] = self._dequantised[layer.activation]
                nodes += self._weight(node, layer)
            elif index in self._residual_adds:
                for position, name in enumerate(node.input):
                    node.input[position] = self._dequantised.get(name, name)
            nodes.append(node)
            for name in node.output:
                if name in wanted:
                    nodes += self._pair(name)
        return nodes

    def _pair(self, tensor: str) -> list[NodeProto]:
        scale, zero = self._parameters(tensor, np.float32(self._scales[tensor]))
        quantised = self._names.take(f"{tensor}_quantised")
        self._dequantised[tensor] = self._names.take(f"{tensor}_dequantised")
        return [
            self._node("QuantizeLinear", tensor, [tensor, scale, zero], quantised),
            self._node("DequantizeLinear", tensor, [quantised, scale, zero], self._dequantised[tensor]),
        ]

    def _weight(self, node: NodeProto, layer: QuantisedLayer) -> list[NodeProto]:
        key = (layer.weight, layer.axis)
        known = self._weights.get(key)
        if known is not None:
            node.input[1] = known
            return []
        values = self._constants.constant_array(layer.weight)
        if not np.isfinite(values).all():
            raise CalibrationError(
                f"the weights '{layer.weight}' of node '{layer.name}' hold NaN or infinity",
                hint="the checkpoint is damaged or its training diverged",
            )
        integers, scales = quantise_weights(values, layer.axis)
        stored = self._names.take(f"{layer.weight}_quantised")
        self.initialisers.append(numpy_helper.from_array(integers, stored))
        scale, zero = self._parameters(layer.weight, scales)
        self._weights[key] = self._names.take(f"{layer.weight}_dequantised")
        node.input[1] = self._weights[key]
        inputs = [stored, scale, zero]
        return [self._node("DequantizeLinear", layer.weight, inputs, self._weights[key], axis=layer.axis)]

    def _parameters(self, tensor: str, scale: npt.NDArray[np.float32] | np.float32) -> tuple[str, str]:
        scale_name, zero_name = self._names.take(f"{tensor}_scale"), self._names.take(f"{tensor}_zero_point")
        scales = np.asarray(scale, np.float32)
        self.initialisers.append(numpy_helper.from_array(scales, scale_name))
        self.initialisers.append(numpy_helper.from_array(np.zeros(scales.shape, np.int8), zero_name))
        return scale_name, zero_name

    def _node(self, op_type: str, tensor: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
        name = self._names.take(f"{tensor}_{op_type}")
        return helper.make_node(op_type, inputs, [output], name=name, **attributes)


def _drop_unused_constants(graph: onnx.GraphProto, weights: set[str]) -> None:
    """Remove float weights, and the Identity nodes that handed them on, once only the INT8 copy is read."""
    while True:
        read = names_read(graph)
        identities = [
            node
            for node in graph.node
            if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in read
        ]
        constants = [node for node in graph.node if node.op_type == "Constant" and node.output[0] in weights - read]
        for node in identities + constants:
            graph.node.remove(node)
        if not identities:
            break
    for tensor in [tensor for tensor in graph.initializer if tensor.name in weights - read]:
        graph.initializer.remove(tensor)
