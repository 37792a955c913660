"""Seeing through nodes that give a tensor another shape and leave its values in their order."""

from __future__ import annotations

from onnxscript import ir

from edgefer_export.fuse_attention.values import Dims, Trail, attribute, dims, producer

_LAYOUT = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")


def unshaped(value: ir.Value, trail: Trail) -> ir.Value:
    """The tensor before everything that only adds, drops or merges axes of size 1; those nodes join the trail."""
    while True:
        node = producer(value, *_LAYOUT)
        source = node.inputs[0] if node is not None and node.inputs else None
        if node is None or source is None or not _keeps_order(node, source):
            return value
        trail[node] = None
        value = source


def expanded_from(value: ir.Value, trail: Trail) -> ir.Value:
    """The tensor before an Expand, which multiplication would have done by itself."""
    node = producer(value, "Expand")
    if node is None or node.inputs[0] is None:
        return value
    trail[node] = None
    return node.inputs[0]


def _keeps_order(node: ir.Node, source: ir.Value) -> bool:
    if node.op_type in ("Identity", "Dropout"):
        return True
    before, after = dims(source), dims(node.outputs[0])
    if before is None or after is None:
        return False
    if node.op_type == "Transpose":
        order = attribute(node, "perm", tuple(reversed(range(len(before)))))
        moved = [axis for axis in order if before[axis] != 1]
        return moved == sorted(moved)
    return same_sizes(_long(before), _long(after))


def same_sizes(before: Dims, after: Dims) -> bool:
    """Whether two shapes of one number of elements are equal. One size may be unknown: it follows from the rest."""
    if len(before) != len(after):
        return False
    unequal = [pair for pair in zip(before, after, strict=True) if pair[0] is None or pair[0] != pair[1]]
    return len(unequal) <= 1 and all(None in pair or not _both_whole(pair) for pair in unequal)


def _both_whole(pair: tuple[int | str | None, int | str | None]) -> bool:
    return all(isinstance(size, int) for size in pair)


def _long(sizes: Dims) -> Dims:
    return tuple(size for size in sizes if size != 1)
