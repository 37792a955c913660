"""A dense layer in its spellings: Gemm, MatMul with or without Add, or a convolution of 1 x 1 on a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnxscript import ir

from edgefer_export.fuse_attention.values import (
    NoMatch,
    Trail,
    Weights,
    attribute,
    described,
    dims,
    producer,
    scalar,
    weights,
    with_constant,
)
from edgefer_export.fuse_attention.vectors import unshaped


@dataclass(frozen=True)
class Dense:
    """`weight` (out, in) times the vector `source` (N, in), of whatever axes of 1, plus `bias` (out)."""

    source: ir.Value
    weight: Weights
    bias: Weights | None = None

    def same_layer(self, other: Dense) -> bool:
        """Whether both have the same weights; a bias that is not there is 0."""
        return (
            self.weight.shape == other.weight.shape
            and bool(np.array_equal(self.weight, other.weight))
            and bool(np.array_equal(self.bias_or_zero, other.bias_or_zero))
        )

    @property
    def bias_or_zero(self) -> Weights:
        return np.zeros(len(self.weight), np.float32) if self.bias is None else self.bias


def read_dense(value: ir.Value, trail: Trail) -> Dense:
    """The dense layer that makes `value`.

    Raises:
        NoMatch: there is none, or one whose weights are not constants of float32.
    """
    value = unshaped(value, trail)
    node = producer(value, "Gemm", "MatMul", "Conv", "Add", "BatchNormalization")
    if node is None:
        raise NoMatch(f"no dense layer (found {described(value)})")
    trail[node] = None
    if node.op_type == "BatchNormalization":
        factor, shift = folded_norm(node)
        layer = read_dense(node.inputs[0], trail)  # type: ignore[arg-type]
        return Dense(layer.source, layer.weight * factor[:, None], layer.bias_or_zero * factor + shift)
    if node.op_type == "Add":
        return _with_bias(node, trail)
    if node.op_type == "Gemm":
        return _gemm(node, trail)
    return _convolution(node, trail) if node.op_type == "Conv" else _product(node, trail)


def folded_norm(node: ir.Node) -> tuple[Weights, Weights]:
    """Factor and shift of each channel of a batch norm that is not being trained.

    Raises:
        NoMatch: it is being trained, or its statistics are not constants of float32.
    """
    if attribute(node, "training_mode", 0) or len(node.outputs) != 1:
        raise NoMatch("a batch norm in training")
    scale, shift, mean, variance = (weights(each, "the statistics of a batch norm") for each in node.inputs[1:5])
    factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + attribute(node, "epsilon", 1e-5))
    return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)


def _with_bias(node: ir.Node, trail: Trail) -> Dense:
    parts = with_constant(node)
    if parts is None:
        raise NoMatch("no dense layer (found the sum of two tensors)")
    value, added = parts
    layer = read_dense(value, trail)
    bias = weights(next(each for each in node.inputs if each is not value), "the weights of a dense layer")
    if added.size != len(layer.weight) or not _lies_on_channels(added.shape, value):
        raise NoMatch(f"a bias of shape {added.shape} behind {len(layer.weight)} outputs")
    return Dense(layer.source, layer.weight, layer.bias_or_zero + bias.reshape(-1))


def _lies_on_channels(shape: tuple[int, ...], value: ir.Value) -> bool:
    """Whether a constant of `shape` is added along the last axis of `value` that is longer than 1."""
    sizes = dims(value)
    if sizes is None or len(shape) > len(sizes):
        return False
    padded = (1,) * (len(sizes) - len(shape)) + shape
    long = [axis for axis, size in enumerate(sizes) if size != 1]
    return all(size == 1 or (bool(long) and axis == long[-1]) for axis, size in enumerate(padded))


def _gemm(node: ir.Node, trail: Trail) -> Dense:
    if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1 or attribute(node, "beta", 1.0) != 1:
        raise NoMatch("a Gemm with a transposed input or with factors")
    weight = weights(node.inputs[1], "the weights of a dense layer")
    weight = weight if attribute(node, "transB", 0) else weight.T
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = weights(node.inputs[2], "the weights of a dense layer")
        if bias.size == 1:
            bias = np.full(len(weight), bias.reshape(-1)[0], np.float32)
        elif bias.shape not in ((len(weight),), (1, len(weight))):
            raise NoMatch(f"a bias of shape {bias.shape} behind {len(weight)} outputs")
        bias = bias.reshape(-1)
    return Dense(_source(node, trail), weight, bias)


def _product(node: ir.Node, trail: Trail) -> Dense:
    weight = weights(node.inputs[1], "the weights of a dense layer")
    sizes = dims(node.inputs[0])
    if weight.ndim != 2 or sizes is None or not sizes or sizes[-1] != weight.shape[0]:
        raise NoMatch(f"a product with weights of shape {weight.shape}")
    return Dense(_source(node, trail), weight.T)


def _convolution(node: ir.Node, trail: Trail) -> Dense:
    weight = weights(node.inputs[1], "the weights of a convolution")
    if attribute(node, "group", 1) != 1 or max(weight.shape[2:], default=1) != 1:
        window = " x ".join(map(str, weight.shape[2:]))
        raise NoMatch(f"no dense layer (found Conv of {window} in {attribute(node, 'group', 1)} groups)")
    sizes = dims(node.inputs[0])
    if sizes is None or any(size != 1 for size in sizes[2:]) or any(attribute(node, "pads", ())):
        raise NoMatch("a convolution of more than one position")
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = weights(node.inputs[2], "the weights of a convolution")
    return Dense(_source(node, trail), weight.reshape(weight.shape[:2]), bias)


def _source(node: ir.Node, trail: Trail) -> ir.Value:
    source = node.inputs[0]
    if source is None or scalar(source) is not None:
        raise NoMatch(f"{node.op_type} of a constant")
    return unshaped(source, trail)
