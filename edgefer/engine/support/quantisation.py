"""Checks of QuantizeLinear and DequantizeLinear: TensorRT quantises symmetrically, to signed integers.

Inputs are (x, scale, zero point). ONNX means uint8 where nothing says otherwise; TensorRT then takes int8, so that a
graph which it parses may compute something else. That is why such a graph counts as refused.
"""

from __future__ import annotations

import math

from edgefer.engine.support.graph import Node
from edgefer.engine.support.restrictions import Finding, Undecided, check
from edgefer.engine.support.schema import Restriction

PER_AXIS_OPSET = 13
"""The opset that gave both operators their `axis` (ONNX, Changelog.md, QuantizeLinear-13)."""


@check
def quantised_type(node: Node, rule: Restriction) -> Finding:
    """What is quantised to has to be one of the types of the release."""
    found = node.output().type
    if found is None:
        return Undecided("which type it quantises to is not known")
    return None if found in rule.allowed else f"it quantises to {found}; {', '.join(map(str, rule.allowed))} are taken"


@check
def zero_point_is_zero(node: Node, rule: Restriction) -> Finding:
    name = node.input_name(2)
    if not name:
        return None
    value = node.constant(2)
    if value is None:
        return _computed(node, 2, "zero point")
    if not value.any():
        return None
    return f"the zero point {name} has the value {value.ravel()[value.ravel().nonzero()[0][0]]}; only 0 is taken"


@check
def scale_is_positive(node: Node, rule: Restriction) -> Finding:
    name = node.input_name(1)
    value = node.constant(1)
    if value is None:
        return _computed(node, 1, "scale")
    smallest = float(value.min()) if value.size else math.nan
    if smallest > 0 and math.isfinite(float(value.max())):
        return None
    return f"the scale {name} is {smallest:g}; it has to be above 0 and finite"


@check
def scale_fits(node: Node, rule: Restriction) -> Finding:
    """A scale for each channel: as many as the axis has entries, the axis named, and an opset that knows of it."""
    name = node.input_name(1)
    shape, scale = node.input(0).shape, node.input(1).shape
    if scale is None:
        return Undecided(f"the shape of the scale {name} is not known")
    if math.prod(size if isinstance(size, int) else 2 for size in scale) == 1:
        return None
    if node.opset < PER_AXIS_OPSET:
        return f"the scale {name} is {list(scale)}; before opset {PER_AXIS_OPSET} there is one for the tensor"
    if len(scale) != 1:
        return None  # in blocks
    if shape is None:
        return Undecided("the shape of its input is not known")
    axis = int(node.attributes.get("axis", 1))
    axis += len(shape) if axis < 0 else 0
    if not 0 <= axis < len(shape):
        return f"axis {axis} is none of the {len(shape)} of its input"
    if isinstance(shape[axis], int) and isinstance(scale[0], int) and shape[axis] != scale[0]:
        return f"the scale {name} has {scale[0]} entries, axis {axis} of the input {shape[axis]}"
    return None


@check
def axis_is_given(node: Node, rule: Restriction) -> Finding:
    """Releases differ in the axis that they take for a scale of several entries when none is given."""
    scale = node.input(1).shape
    if "axis" in node.attributes or scale is None or len(scale) != 1 or scale[0] == 1:
        return None
    return f"the scale {node.input_name(1)} has {scale[0]} entries and no axis is given"


@check
def weights_alone_per_axis(node: Node, rule: Restriction) -> Finding:
    """A scale for each channel belongs to weights: an activation has one for the tensor."""
    shape = node.input(1).shape
    if shape is None or math.prod(size if isinstance(size, int) else 2 for size in shape) == 1:
        return None
    if node.origin(0) in ("constant", "folded"):
        return None
    return f"it quantises {node.input_name(0)}, which is no weight, with a scale for each channel"


def _computed(node: Node, index: int, what: str) -> Finding:
    name = node.input_name(index)
    if node.origin(index) == "data":
        return f"the {what} {name} depends on the network's inputs; it has to be stored"
    return Undecided(f"the {what} {name} is computed; whether it is folded in time is not known")
