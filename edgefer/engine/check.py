"""Whether a TensorRT release takes a graph, node by node, before anyone travels to the device.

The graph is held against the facts of `edgefer.engine.support`, in the form in which it would be compiled: functions
inlined. Where a TensorRT of the target is on this machine, its own parser is asked as well.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from edgefer.engine.ask import Ask, ask_parser
from edgefer.engine.portable import for_parser
from edgefer.engine.support import graph as graphs
from edgefer.engine.support.model import ONNX, model_problems
from edgefer.engine.support.nodes import node_problems
from edgefer.engine.support.reading import Graph, read_graph
from edgefer.engine.support.report import Problem, SupportReport, combined, verdict_of
from edgefer.engine.support.table import table
from edgefer.errors import CompileError


def check(
    onnx: bytes | str | os.PathLike[str], target: str, *, ask: Ask | None = ask_parser, folded: Graph | None = None
) -> SupportReport:
    """Hold a graph against a target.

    Args:
        onnx: the bytes of a model, or the path of one; weights in other files are found beside a path.
        target: one of `edgefer.engine.support.table.TARGETS`.
        ask: asks the parser of the target where it is on this machine; None asks nobody.
        folded: the model as `read_graph` gave it, to read a file once for several targets.

    Raises:
        UsageError: there is no such target.
        InputError: the file is missing, is no ONNX model, or weights that it refers to are.
        EnvironmentMismatch: `onnx` is not installed.
    """
    facts = table(target)
    read = read_graph(onnx) if folded is None else folded
    model, data, inlined, failed = _inlined(read)
    nodes = list(graphs.nodes_of(model))
    found = [*failed, *model_problems(model, nodes, facts)]
    found += [problem for node in nodes for problem in node_problems(node, facts)]
    answer, note = (None, "") if ask is None or failed else ask(data, target)
    said, inputs = verdict_of(tuple(found)), graphs.inputs_of(model.graph)
    return SupportReport(
        target=target,
        title=facts.title,
        verdict=combined(said, answer),
        table=said,
        opset=graphs.default_opset(model),
        ir_version=model.ir_version,
        nodes=len(nodes),
        operators=dict(Counter(_full_name(node) for node in nodes).most_common()),
        dynamic={name: each.shape for name, each in inputs.items() if each.shape and _dynamic(each)},
        inlined=inlined,
        external=read.external,
        problems=tuple(found),
        parser=answer,
        parser_note=note,
        notes=facts.notes,
    )


def refusals(report: SupportReport) -> tuple[Problem, ...]:
    """What the facts refuse, and then what a parser does."""
    answered = report.parser.problems if report.parser is not None else ()
    return tuple(each for each in (*report.problems, *answered) if each.severity == "refused")


def _inlined(read: Graph) -> tuple[Any, bytes, tuple[str, ...], tuple[Problem, ...]]:
    """The model as it would be compiled, with the names of what was inlined, or a problem where it cannot be."""
    import onnx

    if not read.model.functions or not read.model.graph.node:
        return read.model, read.data, (), ()
    names = tuple(f"{each.domain}::{each.name}" for each in read.model.functions)
    try:
        data = for_parser(read.data)
    except CompileError as error:
        problem = Problem(severity="refused", reason=error.message, source=ONNX, remedy=error.hint)
        return read.model, read.data, names, (problem,)
    return onnx.ModelProto.FromString(data), data, names, ()


def _dynamic(tensor: graphs.Tensor) -> bool:
    return any(not isinstance(size, int) for size in tensor.shape or ())


def _full_name(node: graphs.Node) -> str:
    return f"{node.domain}::{node.operator}" if node.domain else node.operator
