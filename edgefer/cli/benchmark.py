"""`edgefer benchmark`: what a bundle costs on this machine, and under what conditions that holds."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from edgefer.cli.gpu_options import add_device, add_gpu, gpu_settings, warnings_as_notes
from edgefer.cli.options import add_bundle, add_threads, reporter
from edgefer.cli.output import Outcome
from edgefer.outputs import check_output

if TYPE_CHECKING:
    from edgefer.benchmark.spec import BenchmarkSpec

DESCRIPTION = """\
Measure a bundle on this machine: latency one run after the other and at a camera's rate, throughput, cold start,
memory, power where it can be read, and layer by layer; with the machine's description, and a warning where it was not
steady.
`edgefer benchmark compare` lays results side by side."""
EXAMPLE = """\
edgefer benchmark fusion.edgefer --threads 2 -o today.json --html today.html
  edgefer benchmark fusion.edgefer --against onnxruntime openvino"""

RIVALS = ("onnxruntime", "openvino", "opencv", "torch", "torch-compile", "trtexec")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.argument_default = argparse.SUPPRESS
    add_bundle(parser)
    parser.add_argument("-o", "--output", metavar="FILE.json", help="keep the result, for `edgefer benchmark compare`")
    parser.add_argument("--html", metavar="FILE.html", help="write a page with pictures of it")
    _add_what(parser.add_argument_group("what is measured"))
    _add_length(parser.add_argument_group("for how long"))
    add_gpu(parser)


def _add_what(group: argparse._ArgumentGroup) -> None:
    from edgefer.benchmark.spec import PARTS

    add_device(group)
    add_threads(group)
    group.add_argument("--graph", metavar="ROLE", help="which graph of the bundle (the first)")
    group.add_argument("--skip", metavar="PART", nargs="+", choices=PARTS, help=f"leave out: {', '.join(PARTS)}")
    group.add_argument(
        "--against", metavar="NAME", nargs="+", choices=RIVALS, help=f"measure in turn with: {', '.join(RIVALS)}"
    )
    group.add_argument("--batches", metavar="N", nargs="+", type=int, help="batch sizes of the throughput curve")
    group.add_argument("--streams", metavar="N", nargs="+", type=int, help="concurrent streams of that curve (1 2)")


def _add_length(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--runs", metavar="N", type=int, help="run the closed loop at least this often (200)")
    group.add_argument("--seconds", metavar="T", type=float, help="and at least this long (5)")
    group.add_argument("--rate", metavar="HZ", type=float, help="frames a second of the open loop (30)")
    group.add_argument("--duration", metavar="T", type=float, help="seconds of the open loop (10)")
    group.add_argument("--queue", metavar="N", type=int, help="frames that may wait before the oldest is dropped (2)")
    group.add_argument("--repeats", metavar="N", type=int, help="cold starts (3)")
    group.add_argument("--confidence", metavar="P", type=float, help="of the intervals (0.95)")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer import atomic
    from edgefer.benchmark.run import benchmark
    from edgefer.benchmark.show.terminal import text
    from edgefer.benchmark.store import save

    spec = _spec(arguments)
    output, html = getattr(arguments, "output", None), getattr(arguments, "html", None)
    for flag, path in (("--output", output), ("--html", html)):
        if path is not None:
            check_output(flag, path)
    if html is not None:
        from edgefer.benchmark.show.html import page

        page([])  # what the page needs is missed now, not after minutes of measuring
    told = reporter(arguments)
    with warnings_as_notes(told):
        result = benchmark(arguments.bundle, spec, told, command=arguments.command)
    if output is not None:
        save(result, output)
    if html is not None:
        atomic.write_text(html, page([result]))
    return Outcome(payload=result, text=text(result) + _written(output, html))


def _spec(arguments: argparse.Namespace) -> BenchmarkSpec:
    from edgefer.benchmark.spec import BenchmarkSpec

    given: dict[str, Any] = {
        each.name: getattr(arguments, each.name) for each in fields(BenchmarkSpec) if hasattr(arguments, each.name)
    }
    for name in ("batches", "streams", "against"):
        if name in given:
            given[name] = tuple(given[name])
    if "skip" in given:
        given["skip"] = frozenset(given["skip"])
    return BenchmarkSpec(**given, gpu=gpu_settings(arguments))


def _written(*paths: str | None) -> str:
    lines = [f"written to {path}" for path in paths if path is not None]
    return "\n\n" + "\n".join(lines) if lines else ""
