"""Which nodes of a graph stay nodes for plugins, and which are written out in standard operators, each with the reason.

A plugin is registered for an operator, but its kernels have limits: a node beyond them is inlined from the operator's
function while its neighbours of the same operator stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgefer.engine.decision import WrittenOut
from edgefer.engine.inlining import Operator, inlined
from edgefer.engine.tensors import Known, attributes_of, known_tensors

Unsupported = Callable[[str, Mapping[str, Any], Known], str]
"""Why the kernels do not take a node of an operator with these attributes and inputs; empty where they do. Inputs are
given by their names in the signature."""

DOMAIN = "edgefer"
_INSIDE = "it is inside control flow"


@dataclass(frozen=True)
class Signature:
    """The inputs of an operator in their order; the `optional` ones may be left out."""

    inputs: tuple[str, ...]
    optional: tuple[str, ...] = ()


SIGNATURES: dict[str, Signature] = {
    "CbamAttention": Signature(("X", "W1", "b1", "W2", "b2", "Ws", "bs", "R"), ("R",)),
    "ChannelGate": Signature(("X", "W1", "b1", "W2", "b2"), ("b1", "b2")),
    "GatedPool": Signature(("F", "W", "b")),
    "GatedFusion": Signature(("Fv", "Fi", "Wv", "bv", "Wi", "bi", "P"), ("P",)),
    "LocalGate": Signature(("Z", "W1", "b1", "W2", "b2")),
}
"""What the device half has to know of the operators; the host half defines them."""


def write_out(model: Any, plugins: frozenset[Operator], unsupported: Unsupported) -> tuple[Any, tuple[WrittenOut, ...]]:
    """`model` with the nodes of `plugins` that have no kernel inlined, and which these are.

    Functions of the operators stay in the model, for whoever strips them. A body that holds further operators is dealt
    with in the same way.
    """
    reasons: list[WrittenOut] = []
    while True:
        refused = list(_refused(model, plugins, unsupported))
        if not refused:
            return model, tuple(reasons)
        reasons += [WrittenOut(node=_name(node), operator=node.op_type, reason=reason) for node, reason in refused]
        model = _inline_nodes(model, [node for node, _ in refused])


def present_inputs(node: Any) -> dict[str, str]:
    """The tensors that a node reads, by the names of its operator's inputs; left-out ones are left out."""
    signature = SIGNATURES[node.op_type]
    return {name: tensor for name, tensor in zip(signature.inputs, node.input, strict=False) if tensor}


def _refused(model: Any, plugins: frozenset[Operator], unsupported: Unsupported) -> Iterator[tuple[Any, str]]:
    tensors: Known | None = None
    for node, inside in _nodes(model.graph):
        if (node.domain, node.op_type) not in plugins:
            continue
        if inside:
            yield node, _INSIDE
            continue
        if node.op_type not in SIGNATURES:
            yield node, "this edgefer does not know its inputs"
            continue
        tensors = known_tensors(model) if tensors is None else tensors
        inputs = present_inputs(node)
        unknown = [name for name, tensor in inputs.items() if tensor not in tensors]
        if unknown:
            yield node, f"the size of {', '.join(unknown)} is not known"
            continue
        reason = unsupported(
            node.op_type, attributes_of(node), {name: tensors[tensor] for name, tensor in inputs.items()}
        )
        if reason:
            yield node, reason


def _inline_nodes(model: Any, nodes: list[Any]) -> Any:
    """`model` with these of its nodes inlined: each is renamed to a copy of its function, which is then inlined."""
    taken = {(each.domain, each.name) for each in model.functions}
    functions = {(each.domain, each.name): each for each in model.functions}
    copies: dict[Operator, str] = {}
    for node in nodes:
        operator = (node.domain, node.op_type)
        if operator not in copies:
            name = f"{node.op_type}_written_out"
            while (node.domain, name) in taken:
                name += "_"
            copies[operator] = name
            taken.add((node.domain, name))
            copy = model.functions.add()
            copy.CopyFrom(functions[operator])
            copy.name = name
        node.op_type = copies[operator]
    return inlined(model, [(domain, name) for (domain, _), name in copies.items()])


def _nodes(graph: Any, inside: bool = False) -> Iterator[tuple[Any, bool]]:
    """Every node of a graph, with whether it is in a graph inside of a node."""
    for node in graph.node:
        yield node, inside
        for attribute in node.attribute:
            for body in [attribute.g] if attribute.HasField("g") else list(attribute.graphs):
                yield from _nodes(body, True)


def _name(node: Any) -> str:
    return str(node.name or next((output for output in node.output if output), ""))
