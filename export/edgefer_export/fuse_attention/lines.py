"""Sums and products with single numbers, read as a straight line: factor times a tensor plus shift."""

from __future__ import annotations

from dataclasses import dataclass

from onnxscript import ir

from edgefer_export.fuse_attention.values import Trail, producer, scalar
from edgefer_export.fuse_attention.vectors import unshaped


@dataclass(frozen=True)
class Line:
    """factor * source + shift."""

    source: ir.Value
    factor: float = 1.0
    shift: float = 0.0


def read_line(value: ir.Value, trail: Trail) -> Line:
    """The longest chain of sums and products with single numbers that ends in `value`, as one line."""
    factor, shift = 1.0, 0.0
    while True:
        value = unshaped(value, trail)
        node = producer(value, "Add", "Sub", "Mul", "Div")
        step = line_of(node) if node is not None else None
        if node is None or step is None:
            return Line(value, factor, shift)
        trail[node] = None
        value, shift, factor = step.source, factor * step.shift + shift, factor * step.factor


def line_of(node: ir.Node) -> Line | None:
    """One Add, Sub, Mul or Div as a line; None where it is not one of a computed tensor and a single number."""
    first, second = node.inputs
    number = scalar(second)
    if number is None and node.op_type in ("Add", "Mul"):
        first, second = second, first
        number = scalar(second)
    if first is None or number is None or scalar(first) is not None:
        return None
    if node.op_type == "Add":
        return Line(first, shift=number)
    if node.op_type == "Sub":
        return Line(first, shift=-number)
    if number == 0:
        return None
    return Line(first, factor=number if node.op_type == "Mul" else 1.0 / number)
