"""A gate between 0 and 1 in its spellings: sigmoid, and hard sigmoid written with Clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnxscript import ir

from edgefer_export.fuse_attention.lines import read_line
from edgefer_export.fuse_attention.values import NoMatch, Trail, attribute, described, producer, scalar
from edgefer_export.fuse_attention.vectors import unshaped

# How far the ends of a clipped line may lie from 0 and 1 and be meant so: 1/6 is not a float.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Gate:
    """sigmoid(source), or max(0, min(1, alpha source + beta))."""

    source: ir.Value
    kind: Literal["sigmoid", "hard_sigmoid"]
    alpha: float = 0.2
    beta: float = 0.5


def read_gate(value: ir.Value, trail: Trail) -> Gate:
    """The gate that makes `value`.

    Raises:
        NoMatch: it is made otherwise.
    """
    value = unshaped(value, trail)
    node = producer(value, "Sigmoid", "HardSigmoid")
    if node is None:
        return _clipped(value, trail)
    trail[node] = None
    source = node.inputs[0]
    if source is None:
        raise NoMatch(f"{node.op_type} of nothing")
    if node.op_type == "Sigmoid":
        return Gate(source, "sigmoid")
    return Gate(source, "hard_sigmoid", _single(attribute(node, "alpha", 0.2)), _single(attribute(node, "beta", 0.5)))


def _clipped(value: ir.Value, trail: Trail) -> Gate:
    """A Clip with straight lines before and behind it, such as Clip(x + 3, 0, 6) / 6."""
    behind = read_line(value, trail)
    node = producer(behind.source, "Clip")
    if node is None:
        raise NoMatch(f"no sigmoid (found {described(value)})")
    trail[node] = None
    low, high = (_bound(node, index, name) for index, name in ((1, "min"), (2, "max")))
    if low is None or high is None or node.inputs[0] is None:
        raise NoMatch("a Clip without two constant bounds")
    ends = (behind.factor * low + behind.shift, behind.factor * high + behind.shift)
    if max(abs(ends[0]), abs(ends[1] - 1.0)) > _ROUNDING:
        raise NoMatch(f"a Clip between {ends[0]:g} and {ends[1]:g}, not 0 and 1")
    before = read_line(node.inputs[0], trail)
    alpha = behind.factor * before.factor
    beta = behind.factor * before.shift + behind.shift
    return Gate(before.source, "hard_sigmoid", _single(alpha), _single(beta))


def _bound(node: ir.Node, index: int, name: str) -> float | None:
    """A bound of a Clip: an input since opset 11, an attribute before."""
    given = attribute(node, name)
    if given is not None:
        return float(given)
    return scalar(node.inputs[index]) if len(node.inputs) > index else None


def _single(value: float) -> float:
    """The nearest float32, so that 1/6 and 0.16666667 are one gate."""
    return float(np.float32(value))
