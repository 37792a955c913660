"""One node held against the facts of a target: its operator, the types it works on, what restricts the operator."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from edgefer.engine.support import quantisation  # noqa: F401  registers its checks
from edgefer.engine.support.graph import Node, Tensor
from edgefer.engine.support.report import Problem
from edgefer.engine.support.restrictions import CHECKS, Undecided
from edgefer.engine.support.schema import Severity
from edgefer.engine.support.table import Operator, Table

# The operand whose type the tables mean, where it is not the first input.
_OPERAND = {"Where": 1, "OneHot": 2}
_BY_OUTPUT = frozenset(
    {
        "BlackmanWindow",
        "Constant",
        "ConstantOfShape",
        "EyeLike",
        "HammingWindow",
        "HannWindow",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_BOTH_ENDS = frozenset({"Cast", "CastLike"})
# What a control flow operator carries is checked in its own graph.
_UNTYPED = frozenset({"If", "Loop", "Scan"})
_BORDER = "uint8"


def node_problems(node: Node, facts: Table) -> Iterator[Problem]:
    """Everything that the facts of a target say against a node."""
    operator = facts.operators.get(node.operator)
    if operator is None:
        yield _absent(node, facts)
        return
    if node.domain:
        reason = (
            f"the parser looks operators up by name and reads {node.domain}::{node.operator} as its own {node.operator}"
        )
        yield _problem(node, "warning", reason, facts.by_name, remedy="make sure that both mean the same")
    yield from _types(node, operator, facts)
    for rule in operator.restrictions:
        finding = CHECKS[rule.check](node, rule)
        if isinstance(finding, Undecided):
            yield _problem(node, "unknown", finding.reason, rule.source, remedy=rule.remedy)
        elif finding is not None:
            yield _problem(node, rule.severity, finding, rule.source, remedy=rule.remedy)


def _absent(node: Node, facts: Table) -> Problem:
    name = f"{node.domain}::{node.operator}" if node.domain else node.operator
    if node.operator in facts.plugins:
        reason = f"{name} is a plugin that comes with the release"
        remedy = "load TensorRT's standard plugins before parsing; edgefer does not"
        return _problem(node, "unknown", reason, facts.plugins[node.operator], remedy=remedy)
    if node.operator in facts.unsupported:
        reason = f"{name} is not supported"
        return _problem(
            node, "refused", reason, facts.unsupported[node.operator], remedy="build it from other operators"
        )
    near = difflib.get_close_matches(node.operator, facts.operators, n=1, cutoff=0.8)
    remedy = "write it as standard operators or as a function of the model; a plugin of that name would be taken"
    hint = f"did you mean {near[0]}? " if near else ""
    reason = f"{name} is no operator of this release"
    return _problem(node, "refused", reason, facts.by_name, remedy=f"{hint}{remedy}")


def _types(node: Node, operator: Operator, facts: Table) -> Iterator[Problem]:
    if operator.types is None or node.operator in _UNTYPED:
        return
    for name, tensor in _operands(node):
        found = "fp32" if tensor.type == "fp64" else tensor.type
        if found is None:
            yield _problem(node, "unknown", f"the type of {name} is not known", operator.source, tensor=name)
        elif found in facts.tensors.types and found not in operator.types:
            reason = f"{name} is {found}; {', '.join(sorted(operator.types))} are taken"
            yield _problem(node, "refused", reason, operator.source, tensor=name, remedy=_cast(node, found))
    yield from _borders(node, facts)


def _operands(node: Node) -> list[tuple[str, Tensor]]:
    first = (node.proto.output[0], node.output())
    if node.operator in _BY_OUTPUT:
        return [first]
    index = _OPERAND.get(node.operator, 0)
    found = [(node.input_name(index), node.input(index))] if node.input_name(index) else []
    return [*found, first] if node.operator in _BOTH_ENDS else found


def _borders(node: Node, facts: Table) -> Iterator[Problem]:
    """Eight bits without a sign exist as inputs and outputs of the network only: a cast may not stand inside it."""
    if node.operator in _BOTH_ENDS and node.output().type == _BORDER and not node.is_output(node.proto.output[0]):
        reason = f"{node.proto.output[0]} is {_BORDER} inside the network; only its inputs and outputs may be"
        source = facts.operators[node.operator].source
        yield _problem(node, "refused", reason, source, tensor=node.proto.output[0], remedy="use int32 inside")


def _cast(node: Node, found: str) -> str:
    if node.operator == "DequantizeLinear" and found == "int32":
        return "keep biases in floating point: quantise without them"
    return f"cast {found} to another type before this node, or leave the operator out"


def _problem(
    node: Node, severity: Severity, reason: str, source: str, *, remedy: str = "", tensor: str = ""
) -> Problem:
    return Problem(
        severity=severity,
        reason=reason,
        source=source,
        remedy=remedy,
        node=node.path,
        operator=node.operator,
        tensor=tensor,
    )
