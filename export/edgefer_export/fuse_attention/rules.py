"""Writing what was read: onnxscript's rewriter puts a node of ours, or the common form, in the place of each match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from onnxscript import ir
from onnxscript.rewriter import pattern

from edgefer_export.fuse_attention.block import Block
from edgefer_export.fuse_attention.scaled_attention import Attention, Operand
from edgefer_export.fuse_attention.values import Weights
from edgefer_export.operators import DOMAIN, OPERATORS, attach_functions
from edgefer_export.operators.signatures import DOMAIN_VERSION
from edgefer_export.quantise.graph_index import UniqueNames


def rewritten(
    model: onnx.ModelProto, graph: ir.Model, blocks: Iterable[Block], attentions: Iterable[Attention]
) -> onnx.ModelProto:
    """`model` with a node and its function for each block, and each attention scaled on Q alone.

    Args:
        graph: the model as onnxscript holds it, from which blocks and attentions were read; changed in place.

    Raises:
        ExportError: the model is not of the project's opset.
    """
    writer = _Writer(UniqueNames(model.graph))
    writer.plans |= {block.root: _deferred(writer.block, block) for block in blocks}
    writer.plans |= {attention.root: _deferred(writer.attention, attention) for attention in attentions}
    pattern.RewriteRuleSet([_rule(operator, writer) for operator in _OPERANDS]).apply_to_model(graph)
    result = ir.to_proto(graph)
    for node in result.graph.node:
        del node.metadata_props[:]
    del result.graph.metadata_props[:]
    return attach_functions(result).model


# The operators that a match can end with, and how many computed inputs each has.
_OPERANDS = {"Mul": 2, "Add": 2, "Relu": 1, "MatMul": 2, "Div": 2}


def _rule(operator: str, writer: _Writer) -> pattern.RewriteRule:
    """A rule whose pattern is the last node of a match: the readers have found the rest."""

    def two(op: Any, a: Any, b: Any) -> Any:
        return getattr(op, operator)(a, b, _outputs=["y"])

    def one(op: Any, a: Any) -> Any:
        return getattr(op, operator)(a, _outputs=["y"])

    def condition(context: Any, y: ir.Value, **_: Any) -> bool:
        return y.producer() in writer.plans

    def replacement(op: Any, y: ir.Value, **_: Any) -> ir.Value:
        return writer.write(op, y)

    return pattern.RewriteRule(two if _OPERANDS[operator] == 2 else one, replacement, condition, remove_nodes=False)


class _Writer:
    """Writes each match in its turn, from tensors as they are by then: another match may have taken one's place."""

    def __init__(self, names: UniqueNames) -> None:
        self.plans: dict[ir.Node | None, Callable[[Any], ir.Value]] = {}
        self._names = names
        self._weights: dict[tuple[tuple[int, ...], bytes], ir.Value] = {}
        self._replaced: dict[ir.Value, ir.Value] = {}

    def write(self, op: Any, y: ir.Value) -> ir.Value:
        self._replaced[y] = self.plans[y.producer()](op)
        return self._replaced[y]

    def block(self, op: Any, block: Block) -> ir.Value:
        name = self._names.take(f"{block.name}/{block.operator}")
        inputs = list(self._inputs(op, block, name))
        while inputs[-1] is None:
            inputs.pop()
        result: ir.Value = getattr(op, block.operator)(
            *inputs, _domain=DOMAIN, _version=DOMAIN_VERSION, **block.attributes
        )
        _name_node(result, name)
        return result

    def attention(self, op: Any, attention: Attention) -> ir.Value:
        query, key = attention.query, attention.key_operand
        unscaled = query.source if query.scale is not None else attention.scores.inputs[0]
        name = self._names.take(f"{attention.name}/scale")
        scale = self._stored(op, np.asarray(attention.factor, np.float32), f"{name}/factor")
        scaled: ir.Value = op.Mul(self._now(unscaled), scale)
        _name_node(scaled, name)
        left = self._shaped(op, scaled, query) if query.scale is not None else scaled
        right = self._now(attention.scores.inputs[1])
        if key.scale is not None:
            right = self._shaped(op, key.source, key)
        result: ir.Value = op.MatMul(left, right)
        _name_node(result, attention.scores.name)
        return result

    def _shaped(self, op: Any, value: ir.Value, operand: Operand) -> ir.Value:
        value = self._replaced.get(value, value)
        for node in operand.chain:
            others = (self._now(each) for each in node.inputs[1:])
            value = getattr(op, node.op_type)(value, *others, **dict(node.attributes))
            _name_node(value, node.name)
        return value

    def _inputs(self, op: Any, block: Block, name: str) -> Iterator[ir.Value | None]:
        for each in OPERATORS[block.operator].inputs:
            if each in block.weights:
                yield self._stored(op, block.weights[each], f"{name}/{each}")
            else:
                yield self._now(block.maps.get(each))

    def _stored(self, op: Any, array: Weights, name: str) -> ir.Value:
        """An initialiser; equal values are stored once."""
        values = np.ascontiguousarray(array, np.float32)
        key = (np.shape(array), values.tobytes())
        if key not in self._weights:
            self._weights[key] = op.initializer(ir.tensor(values.reshape(np.shape(array))), self._names.take(name))
        return self._weights[key]

    def _now(self, value: ir.Value | None) -> ir.Value | None:
        return None if value is None else self._replaced.get(value, value)


def _deferred(write: Callable[[Any, Any], ir.Value], what: Block | Attention) -> Callable[[Any], ir.Value]:
    return lambda op: write(op, what)


def _name_node(value: ir.Value, name: str | None) -> None:
    node = value.producer()
    if node is not None:
        node.name = name
