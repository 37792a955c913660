"""Reading scaled dot-product attention (Vaswani et al., NeurIPS 2017, section 3.2.1): softmax(s Q K^T + mask) V.

s is one number, and it stands wherever an exporter or an author put it: behind the product, before it on Q, on K, or as
its root on both. TensorRT knows the pattern by a scale on Q, so this is the form that it is brought to.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnxscript import ir

from edgefer_export.fuse_attention.block import name_of
from edgefer_export.fuse_attention.lines import line_of
from edgefer_export.fuse_attention.values import (
    NoMatch,
    Trail,
    attribute,
    computed_inputs,
    described,
    dims,
    only_reader,
    producer,
    readers,
)

_LAYOUT = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
_BEHIND = ("Where", "IsNaN", "Dropout", "Identity", "Reshape", "Transpose")
_DEPTH = 6


@dataclass(frozen=True)
class Operand:
    """Q or K as the product takes it: `source` times `factor` by the node `scale`, then given another shape by the
    nodes of `chain`, the last of which the product reads."""

    source: ir.Value
    chain: tuple[ir.Node, ...] = ()
    scale: ir.Node | None = None
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Attention:
    """The product of Q and K, the node `behind` that scales it, and all nodes up to the product with V, which gives
    `output`."""

    name: str
    scores: ir.Node
    behind: ir.Node | None
    query: Operand
    key_operand: Operand
    factor: float
    nodes: tuple[ir.Node, ...]
    output: ir.Value

    @property
    def root(self) -> ir.Node:
        """The node whose result the new nodes compute: the scaled product of Q and K."""
        return self.behind or self.scores

    @property
    def key(self) -> str:
        """The name of the tensor that `root` gives, which says where it is in a graph."""
        return str(self.root.outputs[0].name)

    @property
    def normal(self) -> bool:
        """Whether the only scale, if there is one, is on Q already."""
        return self.behind is None and self.key_operand.scale is None


def read_attention(softmax: ir.Node) -> Attention:
    """The attention around a Softmax.

    Raises:
        NoMatch: there is none, or it is spelled otherwise.
    """
    trail: Trail = {softmax: None}
    sizes = dims(softmax.outputs[0])
    last = {-1} if sizes is None else {-1, len(sizes) - 1}
    if attribute(softmax, "axis", -1) not in last:
        raise NoMatch("its softmax is not over the last axis")
    scores, behind, masked = _scores(softmax.inputs[0], trail, None)
    if masked:
        raise NoMatch("its scale stands behind the mask")
    output, tail = _product_with_values(softmax)
    trail.update(dict.fromkeys(tail))
    pair = computed_inputs(scores)
    if pair is None:
        raise NoMatch("no product of two computed tensors before the softmax")
    if scores.outputs[0].dtype != ir.DataType.FLOAT:
        raise NoMatch(f"its tensors are {scores.outputs[0].dtype}, not float32")
    query, key = (_operand(each, scores, trail) for each in pair)
    factor = query.factor * key.factor
    if behind is not None:
        line = line_of(behind)
        if line is None or only_reader(scores.outputs[0]) is not behind:
            raise NoMatch("its scale does not stand right behind the product of Q and K, or not alone")
        factor *= line.factor
    return Attention(name_of(trail, softmax), scores, behind, query, key, factor, tuple(trail), output)


def _product_with_values(softmax: ir.Node) -> tuple[ir.Value, list[ir.Node]]:
    """What the product of the weights with V gives, and the nodes from there back to the Softmax."""
    node = softmax
    tail: list[ir.Node] = []
    for _ in range(_DEPTH):
        following = [each for each in readers(node.outputs[0]) if each.graph is node.graph]
        product = next((each for each in following if each.op_type == "MatMul"), None)
        if product is not None and product.inputs[0] is node.outputs[0] and computed_inputs(product) is not None:
            return product.outputs[0], [product, *tail]
        passed = [each for each in following if each.op_type in _BEHIND]
        if not passed:
            break
        # Of a guard against rows without any key, IsNaN is read by the Where that the weights go on through.
        tail = [*passed, *tail]
        node = next((each for each in passed if each.op_type != "IsNaN"), passed[0])
    raise NoMatch("no product with V behind the softmax")


def _scores(value: ir.Value | None, trail: Trail, behind: ir.Node | None) -> tuple[ir.Node, ir.Node | None, bool]:
    """The product of Q and K that `value` comes from, the node that scales it, and whether a mask comes in between."""
    node = producer(value)
    if node is None:
        raise NoMatch(f"no product of Q and K before the softmax (found {described(value)})")
    if node.op_type == "MatMul":
        trail[node] = None
        return node, behind, False
    if node.op_type == "Einsum":
        raise NoMatch("its products are written with Einsum")
    if node.op_type in ("Mul", "Div"):
        line = line_of(node)
        if line is None or behind is not None:
            raise NoMatch("its product is scaled by a tensor, or twice")
        trail[node] = None
        return _scores(line.source, trail, node)
    if node.op_type in ("Reshape", "Identity"):
        trail[node] = None
        return _scores(node.inputs[0], trail, behind)
    if node.op_type in ("Add", "Where"):
        return _masked(node, trail, behind)
    raise NoMatch(f"no product of Q and K before the softmax (found {described(value)})")


def _masked(node: ir.Node, trail: Trail, behind: ir.Node | None) -> tuple[ir.Node, ir.Node | None, bool]:
    """The product behind a mask: one input of an Add or a Where comes from it, the other does not."""
    refusal = NoMatch(f"no product of Q and K before the softmax (found {node.op_type})")
    for value in node.inputs if node.op_type == "Add" else node.inputs[1:]:
        own: Trail = {node: None}
        try:
            scores, scale, masked = _scores(value, own, None)
        except NoMatch as reason:
            refusal = reason
            continue
        trail.update(own)
        return scores, scale if behind is None else behind, masked or behind is not None
    raise refusal


def _operand(value: ir.Value, reader: ir.Node, trail: Trail) -> Operand:
    """Q or K back to a scale by one number, if there is one that nothing else depends on."""
    plain = value
    chain: list[ir.Node] = []
    for _ in range(_DEPTH):
        node = producer(value, "Mul", "Div", *_LAYOUT)
        if node is None or only_reader(value) is not reader:
            break
        if node.op_type in ("Mul", "Div"):
            line = line_of(node)
            if line is None:
                break
            trail.update(dict.fromkeys((*chain, node)))
            return Operand(line.source, tuple(reversed(chain)), node, line.factor)
        chain.append(node)
        source = node.inputs[0]
        if source is None:
            break
        value, reader = source, node
    return Operand(plain)
