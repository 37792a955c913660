"""Reading CBAM (Woo et al., ECCV 2018, section 3): a channel gate of two poolings, then a spatial gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnxscript import ir

from edgefer_export.fuse_attention.block import Block, name_of
from edgefer_export.fuse_attention.channel_gate import ChannelHalf, read_channel_half
from edgefer_export.fuse_attention.dense import folded_norm
from edgefer_export.fuse_attention.pools import pooled_channels
from edgefer_export.fuse_attention.values import (
    NoMatch,
    Trail,
    Weights,
    attribute,
    closed,
    computed_inputs,
    described,
    dims,
    only_reader,
    orders,
    producer,
    scalar,
    weights,
)
from edgefer_export.fuse_attention.vectors import expanded_from, unshaped

KERNELS = (3, 5, 7)
"""Sides of the spatial convolution that become a node."""


@dataclass(frozen=True)
class SpatialHalf:
    """sigmoid(conv(descriptor) + bias); the columns of `weight` (1, 2, k, k) are for maximum, then mean."""

    weight: Weights
    bias: Weights


def read_cbam(node: ir.Node, gated: ir.Value, gate: ir.Value) -> tuple[Block, ...]:
    """The CBAM whose last product is `node`, of `gated` (N, C, H, W) by the spatial `gate`: with as much of the
    addition and ReLU behind it as is safe, then with less.

    Raises:
        NoMatch: there is none, or a part of it is something else.
    """
    trail: Trail = {node: None}
    spatial = read_spatial_half(gated, gate, trail)
    return _extents(node, trail, _channel_half(gated, trail), spatial)


def read_spatial_half(gated: ir.Value, gate: ir.Value, trail: Trail) -> SpatialHalf:
    """The gate that multiplies the positions of `gated` (N, C, H, W), read from what it multiplies them by.

    Raises:
        NoMatch: a part is something else.
    """
    value = unshaped(expanded_from(gate, trail), trail)
    node = producer(value, "Sigmoid")
    if node is None or node.inputs[0] is None:
        raise NoMatch(f"no sigmoid in the spatial gate (found {described(value)})")
    trail[node] = None
    weight, bias, descriptor = _convolution(unshaped(node.inputs[0], trail), trail)
    joined = producer(descriptor, "Concat")
    if joined is None or len(joined.inputs) != 2 or attribute(joined, "axis") not in (1, -3):
        raise NoMatch(f"no pair of maximum and mean before the spatial convolution (found {described(descriptor)})")
    trail[joined] = None
    kinds = []
    for each in joined.inputs:
        kind, source = pooled_channels(each, trail)  # type: ignore[arg-type]
        if source is not gated:
            raise NoMatch("the spatial gate is computed from another tensor than it multiplies")
        kinds.append(kind)
    if sorted(kinds) != ["average", "maximum"]:
        raise NoMatch(f"the spatial gate reads {' and '.join(kinds)}")
    return SpatialHalf(weight if kinds[0] == "maximum" else weight[:, ::-1], bias)


def _convolution(value: ir.Value, trail: Trail) -> tuple[Weights, Weights, ir.Value]:
    """Weight (1, 2, k, k), bias (1) and input of the spatial convolution, a batch norm behind it folded in."""
    node = producer(value, "Conv", "BatchNormalization", "Add")
    if node is None or node.inputs[0] is None:
        raise NoMatch(f"no convolution in the spatial gate (found {described(value)})")
    trail[node] = None
    if node.op_type == "BatchNormalization":
        factor, shift = folded_norm(node)
        weight, bias, source = _convolution(node.inputs[0], trail)
        return (weight * factor).astype(np.float32), bias * factor + shift, source
    if node.op_type == "Add":
        number = scalar(node.inputs[1])
        if number is None:
            raise NoMatch("no convolution in the spatial gate (found Add)")
        weight, bias, source = _convolution(node.inputs[0], trail)
        return weight, bias + np.float32(number), source
    weight = weights(node.inputs[1], "the weights of the spatial convolution")
    side = weight.shape[-1]
    if weight.shape != (1, 2, side, side) or side not in KERNELS:
        raise NoMatch(f"a spatial convolution of shape {weight.shape}")
    if set(attribute(node, "strides", ())) - {1} or set(attribute(node, "dilations", ())) - {1}:
        raise NoMatch("a spatial convolution with strides or dilations")
    same = attribute(node, "auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    if not same and tuple(attribute(node, "pads", ())) != (side // 2,) * 4:
        raise NoMatch("a spatial convolution that changes the size")
    bias = np.zeros(1, np.float32)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = weights(node.inputs[2], "the weights of the spatial convolution")
    return weight, bias, node.inputs[0]


def _channel_half(gated: ir.Value, trail: Trail) -> ChannelHalf:
    node = producer(gated, "Mul")
    if node is None:
        raise NoMatch(f"a spatial gate without a channel gate before it (found {described(gated)})")
    reasons: list[tuple[int, NoMatch]] = []
    for maps, gate in orders(node):
        own: Trail = {node: None}
        try:
            half = read_channel_half(maps, gate, own)
            if half.poolings != {"average", "maximum"} or half.gate.kind != "sigmoid":
                pooled = " and ".join(sorted(half.poolings))
                raise NoMatch(f"a spatial gate behind a channel gate by {half.gate.kind} from {pooled}")
            trail.update(own)
            return half
        except NoMatch as reason:
            reasons.append((len(own), reason))
    if not reasons:
        raise NoMatch("a spatial gate without a channel gate before it (found a product with a constant)")
    raise max(reasons, key=lambda each: each[0])[1]


def _extents(node: ir.Node, trail: Trail, channel: ChannelHalf, spatial: SpatialHalf) -> tuple[Block, ...]:
    core = tuple(trail)
    if not closed(core, node):
        raise NoMatch("a part of it is read elsewhere, too")
    weights = {
        "W1": channel.first.weight,
        "b1": channel.first.bias_or_zero,
        "W2": channel.second.weight,
        "b2": channel.second.bias_or_zero,
        "Ws": spatial.weight,
        "bs": spatial.bias,
    }
    name = name_of(core, node)
    kernel = spatial.weight.shape[-1]
    found = []
    for tail, residual, relu in _tails(node, channel.maps):
        maps = {"X": channel.maps} if residual is None else {"X": channel.maps, "R": residual}
        root = tail[-1] if tail else node
        attributes: dict[str, int | float | str] = {"spatial_kernel": kernel, "relu": int(relu)}
        found.append(Block("CbamAttention", name, root, (*core, *tail), maps, weights, attributes))
    return tuple(found)


def _tails(node: ir.Node, maps: ir.Value) -> list[tuple[tuple[ir.Node, ...], ir.Value | None, bool]]:
    """What behind the product can be part of the node, the longest first: nodes, residual, whether there is a ReLU."""
    tails: list[tuple[tuple[ir.Node, ...], ir.Value | None, bool]] = [((), None, False)]
    product = node.outputs[0]
    reader = only_reader(product)
    if reader is not None and producer(reader.outputs[0], "Relu"):
        return [((reader,), None, True), *tails]
    residual = _residual(reader, product, maps)
    if reader is None or residual is None:
        return tails
    tails.insert(0, ((reader,), residual, False))
    last = only_reader(reader.outputs[0])
    if last is not None and producer(last.outputs[0], "Relu"):
        tails.insert(0, ((reader, last), residual, True))
    return tails


def _residual(node: ir.Node | None, product: ir.Value, maps: ir.Value) -> ir.Value | None:
    """What an Add adds to the product, where it is surely of the same shape."""
    pair = computed_inputs(node) if node is not None and producer(node.outputs[0], "Add") else None
    if pair is None:
        return None
    residual = pair[1] if pair[0] is product else pair[0]
    sizes = dims(residual)
    return residual if sizes is not None and sizes == dims(maps) and None not in sizes else None
