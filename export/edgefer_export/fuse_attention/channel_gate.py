"""Reading a channel gate: squeeze-and-excite (Hu et al., CVPR 2018, section 3), and the channel half of CBAM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnxscript import ir

from edgefer_export.fuse_attention.block import Block, name_of
from edgefer_export.fuse_attention.dense import Dense, read_dense
from edgefer_export.fuse_attention.gates import Gate, read_gate
from edgefer_export.fuse_attention.pools import Pooling, pooled_positions
from edgefer_export.fuse_attention.values import (
    Dims,
    NoMatch,
    Trail,
    closed,
    computed_inputs,
    described,
    dims,
    producer,
)
from edgefer_export.fuse_attention.vectors import expanded_from, unshaped


@dataclass(frozen=True)
class ChannelHalf:
    """maps times gate(W2 relu(W1 p + b1) + b2), for each pooling p, summed before the gate."""

    maps: ir.Value
    gate: Gate
    first: Dense
    second: Dense
    poolings: frozenset[Pooling]


def read_channel_gate(node: ir.Node, maps: ir.Value, gate: ir.Value) -> Block:
    """The squeeze-and-excite that ends in the multiplication `node` of `maps` (N, C, H, W) by `gate`.

    Raises:
        NoMatch: there is none, or a part of it is something else.
    """
    trail: Trail = {node: None}
    half = read_channel_half(maps, gate, trail)
    if half.poolings != {"average"}:
        pooled = " and ".join(sorted(half.poolings))
        raise NoMatch(f"a channel gate from {pooled} and no spatial gate of CBAM behind it")
    if not closed(trail, node):
        raise NoMatch("a part of it is read elsewhere, too")
    weights = {"W1": half.first.weight, "W2": half.second.weight}
    weights |= {name: layer.bias for name, layer in (("b1", half.first), ("b2", half.second)) if layer.bias is not None}
    attributes: dict[str, int | float | str] = {"gate": half.gate.kind}
    if half.gate.kind == "hard_sigmoid":
        attributes |= {"alpha": half.gate.alpha, "beta": half.gate.beta}
    nodes = tuple(trail)
    return Block("ChannelGate", name_of(nodes, node), node, nodes, {"X": maps}, weights, attributes)


def read_channel_half(maps: ir.Value, gate: ir.Value, trail: Trail) -> ChannelHalf:
    """The gate that multiplies the channels of `maps` (N, C, H, W), read from what it multiplies them by.

    Raises:
        NoMatch: a part is something else.
    """
    channels = _channels(maps)
    gate = expanded_from(gate, trail)
    if not _one_number_a_channel(dims(gate), channels, dims(maps)):
        raise NoMatch("the gate is not one number for each channel")
    read = read_gate(gate, trail)
    second, hidden = _second(read.source, trail)
    firsts, poolings = [], []
    for value in hidden:
        first = read_dense(_before_relu(value, trail), trail)
        pooling, source = pooled_positions(first.source, trail)
        if source is not maps:
            raise NoMatch("what is pooled is not what is gated")
        firsts.append(first)
        poolings.append(pooling)
    if not all(first.same_layer(firsts[0]) for first in firsts) or len(set(poolings)) != len(poolings):
        raise NoMatch("the pooled vectors pass through different layers")
    width = len(firsts[0].weight)
    shapes = firsts[0].weight.shape, second.weight.shape
    if shapes != ((width, channels), (channels, width)):
        raise NoMatch(f"layers of shapes {shapes[0]} and {shapes[1]} for {channels} channels")
    return ChannelHalf(maps, read, firsts[0], second, frozenset(poolings))


def _channels(maps: ir.Value) -> int:
    sizes = dims(maps)
    if sizes is None or len(sizes) != 4 or not isinstance(sizes[1], int):
        raise NoMatch("the number of channels is not known")
    if maps.dtype != ir.DataType.FLOAT:
        raise NoMatch(f"the maps are {maps.dtype}, not float32")
    return sizes[1]


def _one_number_a_channel(gate: Dims | None, channels: int, maps: Dims | None) -> bool:
    if gate is None or maps is None or len(gate) > 4:
        return False
    padded = (1,) * (4 - len(gate)) + gate
    return padded[1:] == (channels, 1, 1) and (padded[0] == maps[0] is not None or maps[0] == 1)


def _second(value: ir.Value, trail: Trail) -> tuple[Dense, tuple[ir.Value, ...]]:
    """The second layer, and the hidden vectors that it takes.

    With two poolings it stands once for each, and the results are added; or once, behind the sum of the hidden
    vectors. The node adds its bias twice, so that of the latter is halved.
    """
    value = unshaped(value, trail)
    node = producer(value, "Add")
    pair = computed_inputs(node) if node is not None else None
    if node is not None and pair is not None:
        trail[node] = None
        layers = [read_dense(each, trail) for each in pair]
        if layers[0].weight.shape != layers[1].weight.shape or (layers[0].weight != layers[1].weight).any():
            raise NoMatch("the pooled vectors pass through different layers")
        bias = np.divide(layers[0].bias_or_zero + layers[1].bias_or_zero, 2, dtype=np.float32)
        return Dense(layers[0].source, layers[0].weight, bias), (layers[0].source, layers[1].source)
    layer = read_dense(value, trail)
    node = producer(layer.source, "Add")
    pair = computed_inputs(node) if node is not None else None
    if node is None or pair is None:
        return layer, (layer.source,)
    trail[node] = None
    return Dense(layer.source, layer.weight, np.divide(layer.bias_or_zero, 2, dtype=np.float32)), pair


def _before_relu(value: ir.Value, trail: Trail) -> ir.Value:
    value = unshaped(value, trail)
    node = producer(value, "Relu")
    if node is None or node.inputs[0] is None:
        raise NoMatch(f"no ReLU between its layers (found {described(value)})")
    trail[node] = None
    return node.inputs[0]
