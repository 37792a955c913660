"""Pooling in its spellings: over all positions of a channel, and over all channels of a position."""

from __future__ import annotations

from typing import Literal

from onnxscript import ir

from edgefer_export.fuse_attention.values import NoMatch, Trail, attribute, constant, described, dims, producer
from edgefer_export.fuse_attention.vectors import same_sizes, unshaped

Pooling = Literal["average", "maximum"]

_KINDS: dict[str, Pooling] = {
    "GlobalAveragePool": "average",
    "ReduceMean": "average",
    "AveragePool": "average",
    "GlobalMaxPool": "maximum",
    "ReduceMax": "maximum",
    "MaxPool": "maximum",
}


def pooled_positions(value: ir.Value, trail: Trail) -> tuple[Pooling, ir.Value]:
    """The maps (N, C, H, W) of whose channels `value` is the average or the maximum, whatever axes of 1 it has.

    Raises:
        NoMatch: it is made otherwise.
    """
    value = unshaped(value, trail)
    node = producer(value, *_KINDS)
    if node is None:
        raise NoMatch(f"no pooling over all positions (found {described(value)})")
    source = node.inputs[0]
    sizes = dims(source)
    if source is None or sizes is None:
        raise NoMatch(f"{node.op_type} of a tensor whose shape is not known")
    trail[node] = None
    kind = _KINDS[node.op_type]
    if node.op_type.startswith("Global"):
        whole = len(sizes) == 4
    elif node.op_type.startswith("Reduce"):
        axes = _axes(node, len(sizes))
        if len(sizes) == 4 and axes == {2, 3}:
            return kind, source
        return kind, _in_two(node, source, axes, trail)
    else:
        whole = len(sizes) == 4 and _whole_window(node, sizes[2:])
    if not whole:
        raise NoMatch(f"{node.op_type} not over all positions of a map")
    return kind, source


def pooled_channels(value: ir.Value, trail: Trail) -> tuple[Pooling, ir.Value]:
    """The maps (N, C, H, W) of which `value` (N, 1, H, W) is the average or the maximum over the channels.

    Raises:
        NoMatch: it is made otherwise.
    """
    value = unshaped(value, trail)
    node = producer(value, "ReduceMean", "ReduceMax")
    if node is None:
        raise NoMatch(f"no average or maximum over the channels (found {described(value)})")
    source = node.inputs[0]
    sizes = dims(source)
    if source is None or sizes is None or len(sizes) != 4 or _axes(node, 4) != {1}:
        raise NoMatch(f"{node.op_type} not over the channels of a map")
    trail[node] = None
    return _KINDS[node.op_type], source


def is_pool_of(node: ir.Node, maps: ir.Value) -> bool:
    """Whether a node pools `maps`, over anything, in one of the operators known here."""
    return node.op_type in _KINDS and node.inputs[0] is maps


def _axes(node: ir.Node, rank: int) -> set[int]:
    """The axes that a Reduce goes over, from its attribute or its input; empty where they are not constant."""
    given = attribute(node, "axes")
    if given is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        array = constant(node.inputs[1])
        given = () if array is None else tuple(int(axis) for axis in array.reshape(-1))
    if given is None:
        return set() if attribute(node, "noop_with_empty_axes", 0) else set(range(rank))
    return {axis % rank for axis in given}


def _whole_window(node: ir.Node, window: tuple[int | str | None, ...]) -> bool:
    """Whether a pooling has one window, which is the whole map. The sizes have to be known."""
    kernel = attribute(node, "kernel_shape", ())
    padded = any(attribute(node, "pads", ())) or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    spread = set(attribute(node, "dilations", ())) - {1}
    return tuple(kernel) == window and not padded and not spread and len(node.outputs) == 1


def _in_two(node: ir.Node, source: ir.Value, axes: set[int], trail: Trail) -> ir.Value:
    """The maps behind a Reduce over positions laid in one axis, or behind two Reduces, one for each axis."""
    sizes = dims(source) or ()
    before = producer(source, "Reshape", "Flatten", node.op_type)
    maps = before.inputs[0] if before is not None else None
    shape = dims(maps)
    refusal = NoMatch(f"{node.op_type} not over all positions of a map")
    if before is None or maps is None or shape is None or len(shape) != 4 or len(axes) != 1:
        raise refusal
    (axis,) = axes
    if before.op_type == node.op_type:
        inner = _axes(before, 4)
        if len(inner) == 1 and len(sizes) == 3 and axis >= min(inner):
            axis += 1
        fits = inner | {axis} == {2, 3}
    else:
        height, width = shape[2:]
        positions = height * width if isinstance(height, int) and isinstance(width, int) else None
        fits = axis == 2 and len(sizes) == 3 and same_sizes((*shape[:2], positions), sizes)
        fits = fits and (sizes[2] == positions is not None or shape[0] == sizes[0] is not None)
    if not fits:
        raise refusal
    trail[before] = None
    return maps
