"""A whole model held against the facts of a target: what it imports, what goes in and out, the types of its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgefer.engine.support.graph import Node, Tensor, default_opset, inputs_of
from edgefer.engine.support.report import Problem
from edgefer.engine.support.table import Table

EDGEFER = "edgefer: a profile is built for each batch, all other sizes are fixed"
ONNX = "ONNX, docs/IR.md"


def model_problems(model: Any, nodes: list[Node], facts: Table) -> Iterator[Problem]:
    """Everything that the facts say against a model apart from its nodes."""
    graph = model.graph
    if not graph.node:
        reason, remedy = "the graph has no nodes", "there is nothing to compile"
        yield Problem(severity="refused", reason=reason, source=ONNX, remedy=remedy)
    if not graph.output:
        yield Problem(severity="refused", reason="the graph has no outputs", source=ONNX, remedy="name its outputs")
    yield from _versions(model, facts)
    for sparse in graph.sparse_initializer:
        reason, name = "its sparse initialisers are not read", sparse.values.name
        source = facts.tensors.source
        yield Problem(severity="refused", reason=reason, source=source, tensor=name, remedy="store it dense")
    for name, tensor in inputs_of(graph).items():
        yield from _input(name, tensor)
    yield from _types(model, nodes, facts)


def _versions(model: Any, facts: Table) -> Iterator[Problem]:
    opset, known = default_opset(model), facts.opset
    if not opset:
        reason = "the model imports no opset of the default domain"
        yield Problem(severity="refused", reason=reason, source=ONNX, remedy="export it again")
    elif opset < known.first:
        reason = f"opset {opset} is older than {known.first}, the first that is documented; it is not refused"
        yield Problem(severity="warning", reason=reason, source=known.source, remedy="export it with a newer opset")
    elif opset > known.last:
        reason = f"opset {opset} is newer than {known.last}, the last that is documented"
        if opset <= known.unclear:
            reason = f"opset {opset}: {known.why}"
        remedy = f"export it with opset {known.last} or older; edgefer's own is 19"
        yield Problem(severity="unknown", reason=reason, source=known.source, remedy=remedy)
    if model.ir_version > facts.onnx.ir:
        reason = f"IR version {model.ir_version} is newer than {facts.onnx.ir}, that of ONNX {facts.onnx.version}"
        source = f"{facts.onnx.source}; {facts.onnx.note}".removesuffix("; ")
        remedy = "parsers log it and go on; set it to an older one where nothing newer is used"
        yield Problem(severity="warning", reason=reason, source=source, remedy=remedy)


def _input(name: str, tensor: Tensor) -> Iterator[Problem]:
    if tensor.shape is None:
        reason = f"the input {name} has no shape, not even a number of dimensions"
        yield Problem(severity="unknown", reason=reason, source=EDGEFER, tensor=name, remedy="export it with a shape")
    elif any(not isinstance(size, int) for size in tensor.shape[1:]):
        shown = "x".join("?" if size is None else str(size) for size in tensor.shape)
        reason = f"the input {name} is {shown}: sizes other than the batch are dynamic"
        remedy = "fix them before compiling"
        yield Problem(severity="warning", reason=reason, source=EDGEFER, tensor=name, remedy=remedy)


def _types(model: Any, nodes: list[Node], facts: Table) -> Iterator[Problem]:
    """Tensors of a type that the release does not have, and of double precision, which it has as single only."""
    doubles: list[str] = []
    source = facts.tensors.source
    for name, tensor, node in _tensors(model, nodes):
        if tensor.type == "fp64":
            doubles.append(name)
        elif tensor.type is not None and tensor.type not in facts.tensors.types:
            yield Problem(
                severity="refused",
                reason=f"{name} is of type {tensor.type}, which the release does not have",
                source=source,
                remedy=f"cast it before exporting; the types it has are {', '.join(facts.tensors.types)}",
                node="" if node is None else node.path,
                operator="" if node is None else node.operator,
                tensor=name,
            )
    if doubles:
        more = f" and {len(doubles) - 1} more" if doubles[1:] else ""
        reason = f"double precision is cut down to single: {doubles[0]}{more}"
        remedy = "export it in single precision, and check that it is enough"
        yield Problem(severity="warning", reason=reason, source=source, remedy=remedy, tensor=doubles[0])


def _tensors(model: Any, nodes: list[Node]) -> Iterator[tuple[str, Tensor, Node | None]]:
    """Every tensor once, with the first node that it meets; inputs of the model with none."""
    seen: set[tuple[str, str]] = set()
    for name, tensor in inputs_of(model.graph).items():
        seen.add(("", name))
        yield name, tensor, None
    for node in nodes:
        graph = node.path.rpartition("/")[0] if node.scope.outer is not None else ""
        for name in (*node.proto.input, *node.proto.output):
            if name and (graph, name) not in seen:
                seen.add((graph, name))
                yield name, node.scope.tensor(name), node
