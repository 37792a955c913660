"""Looking through a graph: which blocks of attention it has, and what nearly is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnxscript import ir

from edgefer_export.fuse_attention.block import Block, name_of
from edgefer_export.fuse_attention.cbam import read_cbam
from edgefer_export.fuse_attention.channel_gate import read_channel_gate
from edgefer_export.fuse_attention.pools import is_pool_of
from edgefer_export.fuse_attention.report import Near
from edgefer_export.fuse_attention.scaled_attention import Attention, read_attention
from edgefer_export.fuse_attention.values import STANDARD, NoMatch, attribute, constant, orders

# How many nodes behind a multiplication are looked at for what it may have been meant to be.
_LOOK_BACK = 40
_GATES = ("Sigmoid", "HardSigmoid", "Softmax", "Tanh", "Clip")


@dataclass
class Survey:
    """What was read from a graph. Of a CBAM there is a block for each extent, the largest first."""

    cbams: list[tuple[Block, ...]] = field(default_factory=list)
    gates: list[Block] = field(default_factory=list)
    attentions: list[Attention] = field(default_factory=list)
    near: list[Near] = field(default_factory=list)

    def candidates(self) -> list[tuple[Block, ...]]:
        """Every block in the order of the graph's reading, each with its extents."""
        return [*self.cbams, *((gate,) for gate in self.gates)]


def survey(graph: ir.Graph) -> Survey:
    """Read all blocks of the main graph; those inside branches and loops are not looked for."""
    found = Survey()
    products = [node for node in graph if node.op_type == "Mul" and node.domain in STANDARD]
    reasons: dict[tuple[ir.Node, ir.Value], str] = {}
    taken: set[ir.Node] = set()
    for node in products:
        for maps, gate in orders(node):
            try:
                found.cbams.append(read_cbam(node, maps, gate))
            except NoMatch as reason:
                reasons[node, maps] = str(reason)
                continue
            taken.update(found.cbams[-1][0].nodes)
            break
    for node in products:
        if node not in taken:
            gate_or_near = _gate(node, reasons)
            if isinstance(gate_or_near, Block):
                found.gates.append(gate_or_near)
            elif gate_or_near is not None:
                found.near.append(gate_or_near)
    for node in graph:
        if node.op_type != "Softmax" or node.domain not in STANDARD:
            continue
        try:
            found.attentions.append(read_attention(node))
        except NoMatch as reason:
            found.near += _near_attention(node, str(reason))
    return found


def _gate(node: ir.Node, spatial: Mapping[tuple[ir.Node, ir.Value], str]) -> Block | Near | None:
    """The channel gate that ends in a multiplication, or what it nearly is, for `spatial` reasons where that fits."""
    near = None
    for maps, gate in orders(node):
        try:
            return read_channel_gate(node, maps, gate)
        except NoMatch as reason:
            near = near or _near(node, maps, gate, str(reason), spatial[node, maps])
    return near


def _near(node: ir.Node, maps: ir.Value, gate: ir.Value, channel: str, spatial: str) -> Near | None:
    """The multiplication of maps by a gate that was pooled from these very maps is nearly a block."""
    behind = list(_behind(gate, maps))
    pools = [each for each in behind if is_pool_of(each, maps)]
    if not pools or not any(each.op_type in _GATES for each in behind):
        return None
    name = name_of((*behind, node), node)
    if all(_over_channels(each) for each in pools):
        return Near("spatial gate", name, spatial)
    return Near("channel gate", name, channel)


def _over_channels(pool: ir.Node) -> bool:
    axes = attribute(pool, "axes")
    if axes is None and len(pool.inputs) > 1:
        array = constant(pool.inputs[1])
        axes = () if array is None else tuple(array.reshape(-1).tolist())
    return axes in ((1,), (-3,))


def _near_attention(softmax: ir.Node, reason: str) -> Iterator[Near]:
    """A Softmax between two products is nearly an attention."""
    products = ("MatMul", "Einsum")
    before = [each for each in _behind(softmax.inputs[0], None, limit=6) if each.op_type in products]
    after = [use.node for use in softmax.outputs[0].uses() if use.node.op_type in products]
    if before and after:
        yield Near("attention", name_of((*before, softmax, *after), softmax), reason)


def _behind(value: ir.Value | None, stop: ir.Value | None, *, limit: int = _LOOK_BACK) -> Iterator[ir.Node]:
    """The nodes that a tensor is computed from, the nearest first, not beyond `stop`."""
    waiting, seen = [value], set[ir.Node]()
    while waiting and len(seen) < limit:
        each = waiting.pop(0)
        node = each.producer() if each is not None and each is not stop else None
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += node.inputs


def as_graph(model: onnx.ModelProto) -> ir.Model:
    """The model as onnxscript holds it, with all shapes that can be inferred.

    An operator that nobody defines stops the inference; of a block nothing is read then for which a shape is needed.
    """
    with contextlib.suppress(onnx.shape_inference.InferenceError):
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return ir.from_proto(model)
