"""Quantisation taken into plugin nodes, so that they read and write INT8 themselves.

A plugin is a wall to TensorRT's own fusion of Q/DQ: between it and an INT8 convolution lies a kernel that only
quantises. Where all that reads a node's output quantises it by one scale, the node can do that as it writes; where
what it reads was dequantised, it can do that as it reads. The numbers are the same but for the rounding of the value
in between, at most one step of INT8, and the graph that was judged stays as it is: this is done to what a parser is
given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgefer.engine.plugin_nodes import DOMAIN, SIGNATURES, Unsupported, present_inputs
from edgefer.engine.tensors import Tensor, attributes_of, known_tensors

CHANNELS = 32
"""INT8 is taken in blocks of so many channels."""

_MAPS = {
    "CbamAttention": {"x_scale": "X", "r_scale": "R"},
    "ChannelGate": {"x_scale": "X"},
    "GatedPool": {"x_scale": "F"},
    "GatedFusion": {"x_scale": "Fv", "r_scale": "Fi"},
    "LocalGate": {"x_scale": "Z"},
}
"""The attribute that holds the scale of an input which may be INT8, by operator."""
_WRITES_INT8 = ("CbamAttention", "ChannelGate")
_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
_INT8 = "i8"


def absorb(model: Any, unsupported: Unsupported) -> tuple[str, ...]:
    """Take Q and DQ into the plugin nodes of `model`, in place; the names of the nodes that did.

    Taken in is what is per tensor, symmetric, with a constant scale, over a multiple of 32 channels, and what
    `unsupported` has no objection to. The functions of the operators must still be in the model, for the shapes.
    """
    nodes = [node for node in model.graph.node if node.domain == DOMAIN and node.op_type in SIGNATURES]
    if not nodes:
        return ()
    work = _Absorption(model, unsupported)
    return tuple(node.name or node.output[0] for node in nodes if work.node(node))


class _Absorption:
    def __init__(self, model: Any, unsupported: Unsupported) -> None:
        self._graph = model.graph
        self._unsupported = unsupported
        self._tensors: dict[str, Tensor] = dict(known_tensors(model))
        self._constants = dict(_constants(model.graph))
        self._producers = {output: node for node in model.graph.node for output in node.output}
        self._outputs = {each.name for each in model.graph.output}

    def node(self, node: Any) -> bool:
        """Whether anything was taken into the node."""
        wrote = node.op_type in _WRITES_INT8 and self._output(node)
        return self._inputs(node) or wrote

    def _output(self, node: Any) -> bool:
        y = node.output[0]
        # Counted anew each time: a node before this one may have changed who reads what.
        quantisers = [each for each in self._graph.node if y in each.input]
        if y in self._outputs or not quantisers or _reads(self._graph)[y] != len(quantisers):
            return False
        scales = [self._quantiser_scale(each, y) for each in quantisers]
        if scales[0] is None or any(each != scales[0] for each in scales):
            return False
        if not all(self._can_be_renamed(each.output[0]) for each in quantisers):
            return False
        if not self._has_blocks(y) or not self._may(node, {"y_scale": scales[0]}):
            return False
        self._set(node, {"y_scale": scales[0]})
        for each in quantisers:
            self._graph.node.remove(each)
            self._rewire(each.output[0], y)
        self._now_int8(y)
        return True

    def _inputs(self, node: Any) -> bool:
        """All maps that the node reads are taken as INT8, or none is: kernels know one form for them."""
        inputs = present_inputs(node)
        maps = {key: inputs[name] for key, name in _MAPS[node.op_type].items() if name in inputs}
        sources: dict[str, Any] = {key: self._producers.get(tensor) for key, tensor in maps.items()}
        scales = {key: self._dequantiser_scale(source) for key, source in sources.items()}
        known = {key: scale for key, scale in scales.items() if scale is not None}
        if len(known) != len(maps) or not all(map(self._has_blocks, maps.values())) or not self._may(node, known):
            return False
        self._set(node, known)
        for key in maps:
            position = SIGNATURES[node.op_type].inputs.index(_MAPS[node.op_type][key])
            node.input[position] = sources[key].input[0]
        for key, tensor in maps.items():
            if tensor not in self._outputs and _reads(self._graph)[tensor] == 0 and sources[key] in self._graph.node:
                self._graph.node.remove(sources[key])
        return True

    def _dequantiser_scale(self, source: Any) -> float | None:
        """The scale of the DQ that a tensor comes from; None where it comes from anything else."""
        if source is None or source.op_type != _DEQUANTISE or source.domain or source.input[0] in self._constants:
            return None
        quantised = self._tensors.get(source.input[0])
        return self._scale(source) if quantised is not None and quantised.element == _INT8 else None

    def _quantiser_scale(self, node: Any, y: str) -> float | None:
        """The scale by which a reader of `y` quantises it; None where it does anything else."""
        if node.op_type != _QUANTISE or node.domain or list(node.input).count(y) != 1 or node.input[0] != y:
            return None
        # Without a zero point the output is unsigned.
        return self._scale(node) if len(node.input) == 3 and node.input[2] else None

    def _scale(self, node: Any) -> float | None:
        """The one constant scale of a Q or DQ to int8 without a zero point other than 0; None where it is otherwise."""
        scale, zero = self._constant(node.input[1]), np.zeros(1, np.int8)
        if len(node.input) > 2 and node.input[2]:
            zero = self._constant(node.input[2])
        if scale.size != 1 or zero.size != 1 or zero.dtype != np.int8 or zero.any():
            return None
        value = float(scale.reshape(()))
        return value if np.isfinite(value) and value > 0 else None

    def _constant(self, name: str) -> np.ndarray[Any, Any]:
        """The array of a constant; an empty one for a tensor that is computed."""
        from onnx import numpy_helper

        held = self._constants.get(name)
        return np.empty(0) if held is None else numpy_helper.to_array(held)

    def _has_blocks(self, tensor: str) -> bool:
        """Whether a map (N, C, H, W) can be INT8."""
        known = self._tensors.get(tensor)
        return known is not None and len(known.shape) == 4 and known.shape[1] > 0 and known.shape[1] % CHANNELS == 0

    def _may(self, node: Any, scales: Mapping[str, float]) -> bool:
        """Whether the node may have these scales for tensors that it reads or writes."""
        attributes = {**attributes_of(node), **scales}
        int8 = {_MAPS[node.op_type][key] for key in scales if key in _MAPS[node.op_type]}
        inputs = {name: self._tensors[tensor] for name, tensor in present_inputs(node).items()}
        inputs |= {name: Tensor(inputs[name].shape, _INT8) for name in int8}
        return not self._unsupported(node.op_type, attributes, inputs)

    def _can_be_renamed(self, tensor: str) -> bool:
        """Whether only nodes of the main graph read a tensor."""
        direct = sum(tensor in node.input for node in self._graph.node)
        return tensor not in self._outputs and _reads(self._graph)[tensor] == direct

    def _set(self, node: Any, scales: Mapping[str, float]) -> None:
        from onnx import helper

        node.attribute.extend(helper.make_attribute(key, scale) for key, scale in scales.items())

    def _rewire(self, old: str, new: str) -> None:
        for node in self._graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def _now_int8(self, tensor: str) -> None:
        from onnx import TensorProto

        self._tensors[tensor] = Tensor(self._tensors[tensor].shape, _INT8)
        for value in self._graph.value_info:
            if value.name == tensor:
                value.type.tensor_type.elem_type = TensorProto.INT8


def _reads(graph: Any) -> Counter[str]:
    """How often each tensor is read, in graphs inside of nodes as well."""
    found: Counter[str] = Counter()
    for node in graph.node:
        found.update(set(node.input))
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                found.update(_reads(body))
    return found


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    yield from ((each.name, each) for each in graph.initializer)
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain:
            yield from ((node.output[0], each.t) for each in node.attribute if each.name == "value")
