"""`edgefer check`: whether TensorRT releases take a graph, before anyone travels to the device."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgefer.cli.options import reporter
from edgefer.cli.output import Outcome, facts, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgefer.engine.support.reading import Graph
    from edgefer.engine.support.report import Problem, SupportReport

DESCRIPTION = """\
Hold a graph against what the ONNX parser of each TensorRT release is documented to take: operators, types, opset and
restrictions, node by node. Where a TensorRT of the target is on this machine its own parser is asked, too. Ends with 1
when a target refuses the graph. docs/targets.md says what the facts rest on and what they cannot tell. With the extra
`export`, blocks of attention in an ONNX file are listed, too."""
EXAMPLE = "edgefer check fusion.edgefer --target tensorrt-10.3"

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an ONNX model, or a bundle")
    parser.add_argument(
        "--target",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="tensorrt-10.3, tensorrt-10.13, tensorrt-10.16, tensorrt-11 or rtx; by default all of them",
    )
    parser.add_argument(
        "--ask-parser",
        action=argparse.BooleanOptionalAction,
        help="ask the parser of a target that is on this machine",
    )
    # Set here, because Python 3.10 would write a default that the option itself has into the help.
    parser.set_defaults(ask_parser=True)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.engine.ask import ask_parser
    from edgefer.engine.check import check
    from edgefer.engine.support.table import TARGETS, check_target

    targets = tuple(dict.fromkeys(check_target(name) for name in arguments.target or TARGETS))
    graphs = dict(_graphs(arguments.file))
    reports: list[tuple[str, SupportReport]] = []
    with reporter(arguments).task("checking", total=len(graphs) * len(targets)) as advance:
        for name, graph in graphs.items():
            for target in targets:
                found = check(graph.data, target, ask=ask_parser if arguments.ask_parser else None, folded=graph)
                reports.append((name, found))
                advance(1)
    attention = _attention(arguments.file, graphs)
    verdicts = {target: _worst([each for _, each in reports if each.target == target]) for target in targets}
    payload = {
        "file": arguments.file,
        "verdicts": verdicts,
        "reports": [{"graph": name, "report": each} for name, each in reports],
        "attention": attention,
    }
    refused = "refused" in verdicts.values()
    return Outcome(payload=payload, text=_text(arguments.file, reports, attention), exit_code=1 if refused else 0)


def _graphs(path: str) -> Iterator[tuple[str, Graph]]:
    """The graphs of a bundle by their role, or the one graph of an ONNX file under the name of the file."""
    from edgefer.bundle.container import Bundle
    from edgefer.engine.support.reading import read_graph

    file = Path(path)
    if not (file.is_file() and _is_zip(file)):
        yield file.name, read_graph(file)
        return
    bundle = Bundle.read(file)
    for graph in bundle.manifest.graphs:
        yield graph.role, read_graph(bundle.onnx(graph))


def _attention(path: str, graphs: dict[str, Graph]) -> tuple[str, ...]:
    """What a build would look at in an ONNX file; nothing of a bundle, which has been built, or without the extra."""
    if _is_zip(Path(path)) or find_spec("onnxscript") is None or find_spec("edgefer_export") is None:
        return ()
    from edgefer_export.fuse_attention import recognise

    return tuple(line for graph in graphs.values() for line in recognise(graph.model).sentences())


def _is_zip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"PK"


def _worst(reports: list[SupportReport]) -> str:
    found = {report.verdict for report in reports}
    return next(verdict for verdict in ("refused", "unknown", "accepted") if verdict in found)


def _text(path: str, reports: list[tuple[str, SupportReport]], attention: tuple[str, ...]) -> str:
    _, first = reports[0]
    head = facts(
        [
            ("file", path),
            ("opset", f"{first.opset}, IR version {first.ir_version}"),
            ("nodes", f"{first.nodes}, {len(first.operators)} operators"),
            ("inlined", ", ".join(first.inlined)),
            ("external weights", ", ".join(first.external)),
            *(("attention", line) for line in attention),
        ]
    )
    rows = [["target", "graph", "verdict", "facts", "parser"]]
    rows += [[each.target, name, each.verdict, each.table, _parser(each)] for name, each in reports]
    parts = [head, table(rows)]
    for name, each in reports:
        problems = _problems(each)
        if problems:
            parts.append(f"{each.title}, {name}:\n{problems}")
    notes = dict.fromkeys(note for _, each in reports for note in each.notes)
    return "\n\n".join([*parts, *(f"note: {note}" for note in notes)])


def _parser(report: SupportReport) -> str:
    if report.parser is None:
        return "-"
    return f"{'accepted' if report.parser.accepted else 'refused'} by {report.parser.flavour} {report.parser.version}"


def _problems(report: SupportReport) -> str:
    found = [*report.problems, *(report.parser.problems if report.parser is not None else ())]
    lines = [line for problem in found[:_SHOWN] for line in _problem(problem)]
    more = [f"  and {len(found) - _SHOWN} more; --json has them all"] if found[_SHOWN:] else []
    return "\n".join([*lines, *more])


def _problem(problem: Problem) -> list[str]:
    where = f"{problem.node} ({problem.operator}): " if problem.node else ""
    lines = [f"  {problem.severity}: {where}{problem.reason}", f"    source: {problem.source}"]
    return [*lines, f"    {problem.remedy}"] if problem.remedy else lines
