"""The graph of a build held against the TensorRT releases that the build names, before its long steps start."""

from __future__ import annotations

from dataclasses import replace

from edgefer.engine.check import check, refusals
from edgefer.engine.support.reading import read_graph
from edgefer.engine.support.report import Problem, SupportReport
from edgefer.errors import CompileError
from edgefer.progress import Reporter
from edgefer_export.steps import Graphs


def check_targets(graphs: Graphs, targets: tuple[str, ...], reporter: Reporter) -> Graphs:
    """The same graphs, what was found noted at the last one, which is the graph that gets deployed.

    Raises:
        CompileError: a target refuses the graph; the message names the node, `details` has all that is refused.
    """
    if not targets:
        return graphs
    read = read_graph(graphs.final.model.SerializeToString(deterministic=True))
    notes = []
    with reporter.task("check the targets", total=len(targets)) as advance:
        for target in targets:
            report = check(read.data, target, folded=read)
            if report.verdict == "refused":
                raise _refused(report)
            notes.append(_note(report))
            advance(1)
    for note in notes:
        reporter.note(note)
    last = replace(graphs.final, notes=(*graphs.final.notes, *notes))
    return replace(graphs, steps=(*graphs.steps[:-1], last))


def _refused(report: SupportReport) -> CompileError:
    found = refusals(report)
    return CompileError(
        f"{report.title} does not take the graph: {_said(found[0])}",
        hint=f"{found[0].remedy}; edgefer check says it for every target".removeprefix("; "),
        details="\n".join(f"{_said(problem)} ({problem.source})" for problem in found),
    )


def _note(report: SupportReport) -> str:
    if report.verdict == "accepted":
        asked = "" if report.parser is None else ", and so does its own parser"
        return f"{report.target}: takes the graph as far as the facts tell{asked}"
    open_points = [_said(problem) for problem in report.problems if problem.severity == "unknown"]
    more = f" (and {len(open_points) - 1} more)" if open_points[1:] else ""
    return f"{report.target}: whether it takes the graph is not known: {open_points[0]}{more}"


def _said(problem: Problem) -> str:
    return f"{problem.node} ({problem.operator}): {problem.reason}" if problem.node else problem.reason
