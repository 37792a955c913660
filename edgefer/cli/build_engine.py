"""`edgefer build-engine`: from a network to a verified bundle and an engine, or from a bundle to an engine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from edgefer.bundle.manifest import PluginPolicy, Precision
from edgefer.cli.engine_facts import engine_facts, engine_payload
from edgefer.cli.infer import warn
from edgefer.cli.options import DATA_HELP, add_layout, reporter
from edgefer.cli.output import Outcome, facts, percent, table
from edgefer.errors import EnvironmentMismatch

if TYPE_CHECKING:
    from edgefer.progress import Reporter
    from edgefer_export.report.content import Report
    from edgefer_export.result import BuildResult
    from edgefer_export.spec import BuildSpec

DESCRIPTION = """\
Build a bundle from a network: export it to ONNX, simplify, quantise, judge every step on unseen images, and compile an
engine with the TensorRT at hand. A bundle given as NETWORK is only compiled again, for this machine."""
EXAMPLE = """\
edgefer build-engine viri-fusion --weights best.pt --calibration data/train --evaluation data/test -o fusion.edgefer
  edgefer build-engine fusion.edgefer --flavour tensorrt"""

NETWORK_HELP = "a registered name, FILE.py:FACTORY, FILE.onnx, or a bundle"
OUTPUT_HELP = "the bundle to write; once more as NAME:logits or NAME:other, what an output of an ONNX file holds"
INPUT_HELP = "input shapes of a network from FILE.py or FILE.onnx; roles: visible, infrared, present, saliency, other"
PREPROCESS_HELP = (
    "what the network expects of images, such as preset=imagenet or fit=letterbox; of one input by its name"
)
EMBEDDING_HELP = (
    "means of the classes in an embedding come from this (by default from --calibration), or none: no means"
)
PLUGINS_HELP = "who computes attention: edgefer's plugins, TensorRT itself (inline), or whoever is faster here (auto)"
FUSE_HELP = "whether attention found in a FILE.py or FILE.onnx becomes operators of this project (auto)"
BUDGET_HELP = "points of accuracy, mean recall and a class's recall that may be lost, and the least agreement"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Nothing has a default here: what is not given comes from the specification, and then from BuildSpec.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("network", metavar="NETWORK", nargs="?", help=NETWORK_HELP)
    parser.add_argument("-o", "--output", metavar="OUT.edgefer", action="append", help=OUTPUT_HELP)
    parser.add_argument("--spec", metavar="FILE.toml", help="take what is not given here from this file (same names)")
    network = parser.add_argument_group("network")
    network.add_argument("--weights", metavar="FILE", help="a checkpoint to load")
    network.add_argument("--option", metavar="KEY=VALUE", nargs="+", action="extend", help="options of the network")
    network.add_argument("--input", metavar="NAME=CxHxW[:ROLE]", nargs="+", action="extend", help=INPUT_HELP)
    network.add_argument("--preprocess", metavar="[NAME.]KEY=VALUE", nargs="+", action="extend", help=PREPROCESS_HELP)
    network.add_argument(
        "--labels", metavar="A,B,...|FILE", help="class names in the order of the logits, or a file with one a line"
    )
    network.add_argument("--band", choices=("nir", "lwir"), help="the band of the infrared camera")
    network.add_argument(
        "--exporter", choices=("auto", "torchscript", "dynamo"), help="torch's exporter for a FILE.py (auto: the best)"
    )
    network.add_argument("--fuse-attention", choices=("auto", "off"), help=FUSE_HELP)
    _add_saliency(parser.add_argument_group("saliency"))
    data = parser.add_argument_group("data")
    data.add_argument("--calibration", metavar="DATA", help=f"INT8 ranges come from this: {DATA_HELP}")
    data.add_argument("--evaluation", metavar="DATA", help="the verdict rests on this; shares no image with the former")
    data.add_argument("--embedding", metavar="DATA", help=EMBEDDING_HELP)
    add_layout(parser)
    data.add_argument(
        "--golden-from-data", **_FLAG, help="take golden inputs from --evaluation: faces enter the bundle"
    )
    _add_precision(parser.add_argument_group("precision"))
    _add_verdict(parser.add_argument_group("verdict"))
    _add_engine(parser.add_argument_group("engine"))
    parser.add_argument("--seed", metavar="N", help="of everything drawn at random (0)")


_FLAG: dict[str, Any] = {"action": argparse.BooleanOptionalAction}


def _add_saliency(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--saliency", metavar="FILE", help="a checkpoint of ml-net, whose graph goes into the bundle")
    group.add_argument("--saliency-option", metavar="KEY=VALUE", nargs="+", action="extend", help="options of ml-net")
    group.add_argument("--saliency-every", metavar="K", help="run that graph on one frame of K (10)")


def _add_precision(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--precision", choices=get_args(Precision), help="by default int8 with --calibration, else fp32")
    group.add_argument("--method", choices=("max", "entropy", "percentile"), help="how ranges follow from data (max)")
    group.add_argument("--percentile", metavar="P", help="with --method percentile (99.99)")
    group.add_argument("--exclude", metavar="REGEX", nargs="+", action="extend", help="nodes to keep out of INT8")


def _add_verdict(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--budget", metavar="accuracy=,recall=,class=,agreement=", help=BUDGET_HELP)
    group.add_argument("--strict", **_FLAG, help="an undecided verdict fails, too (exit 4)")
    group.add_argument("--allow-over-budget", **_FLAG, help="write the bundle even so, marked; the exit code stays 4")
    group.add_argument("--report", metavar="FOLDER", help="folder of the report (OUT-report)")


def _add_engine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--flavour", choices=("auto", "tensorrt", "tensorrt_rtx", "none"), help="the TensorRT to compile with (auto)"
    )
    group.add_argument("--plugins", choices=get_args(PluginPolicy), help=PLUGINS_HELP)
    group.add_argument("--batch", metavar="N", nargs="+", action="extend", help="batch sizes, a profile each (1)")
    group.add_argument(
        "--target", metavar="NAME", nargs="+", action="extend", help="TensorRT releases that have to take the graph"
    )
    group.add_argument("--engine-out", metavar="FILE", help="copy the compiled plan here")
    group.add_argument("--print-trtexec", **_FLAG, help="print the equivalent trtexec line")
    group.add_argument("--cache", metavar="FOLDER", help="folder of compiled plans (in the user's cache)")
    group.add_argument("--workspace", metavar="SIZE", help="limit of the builder's scratch memory, such as 512M (1GiB)")
    group.add_argument("--require-cached", **_FLAG, help="take a bundle's engine from the cache, and build none")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer_export.spec import BuildSpec
    from edgefer_export.spec_fields import field_names

    fields = {name: value for name, value in vars(arguments).items() if name.replace("_", "-") in field_names()}
    if hasattr(arguments, "spec"):
        spec = BuildSpec.from_toml(arguments.spec, fields, command=arguments.command)
    else:
        spec = BuildSpec.from_fields(fields, command=arguments.command)
    spec.check_files()
    told = reporter(arguments)
    for note in spec.unused():
        told.note(note)
    return _recompile(spec, told) if spec.recompiles else _build(spec, told)


def _build(spec: BuildSpec, told: Reporter) -> Outcome:
    from edgefer_export.build import build

    result = build(spec, told)
    trtexec = _trtexec(result) if spec.print_trtexec else ""
    failed = result.verdict == "fail" or (spec.strict and result.verdict == "undecided")
    payload = {
        "bundle": result.bundle,
        "report_html": result.report_html,
        "report_json": result.report_json,
        "verdict": result.verdict,
        "reason": result.reason,
        "engine": None if result.engine is None else engine_payload(result.engine),
        "trtexec": trtexec or None,
        "seconds": dict(result.seconds),
        "report": result.report,
    }
    return Outcome(payload=payload, text=_summary(result, trtexec), exit_code=4 if failed else 0)


def _recompile(spec: BuildSpec, told: Reporter) -> Outcome:
    # Neither PyTorch nor onnxsim is needed from here on: this is what runs on a Jetson.
    from edgefer.bundle.container import Bundle
    from edgefer.engine.bundle_engine import compile_bundle
    from edgefer.engine.cache import EngineCache

    bundle = Bundle.read(spec.network)
    cache = None if spec.cache is None else EngineCache(spec.cache)
    result = compile_bundle(
        bundle,
        spec.flavour,
        plugins=spec.plugins,
        reporter=told,
        cache=cache,
        engine_out=spec.engine_out,
        require_cached=spec.require_cached,
        workspace_bytes=spec.workspace,
    )
    if not result.graphs:
        raise EnvironmentMismatch(
            "No engine was built, which is all that there is to do for a bundle.", details="\n".join(result.notes)
        )
    if spec.output is not None:
        bundle.write(spec.output)
    gate = bundle.manifest.gate
    warn(gate, told)
    payload = {
        "bundle": spec.output or spec.network,
        "verdict": gate.verdict,
        "reason": gate.reason,
        "engine": engine_payload(result),
    }
    lines = [facts(engine_facts(result))]
    if spec.print_trtexec:
        lines.append(result.trtexec)
    return Outcome(payload=payload, text="\n".join(lines))


def _summary(result: BuildResult, trtexec: str) -> str:
    written = f"none: the verdict is {result.verdict}" if result.bundle is None else str(result.bundle)
    pairs = [("bundle", written), ("report", str(result.report_html))]
    if result.engine is not None:
        pairs += engine_facts(result.engine)
    parts = [f"verdict: {result.verdict}: {result.reason}", facts(pairs)]
    if result.report.steps:
        parts.insert(0, _steps(result.report))
    return "\n\n".join([*parts, trtexec] if trtexec else parts)


def _trtexec(result: BuildResult) -> str:
    if result.engine is not None:
        return result.engine.trtexec
    if result.bundle is None:
        return ""
    # The line is the same whether or not this machine has a TensorRT.
    from edgefer.bundle.container import Bundle
    from edgefer.engine.bundle_engine import NO_ENGINE, compile_bundle

    return compile_bundle(Bundle.read(result.bundle), NO_ENGINE).trtexec


def _steps(report: Report) -> str:
    rows = [["step", "correct", "accuracy", "mean recall", "agreement", "largest error", "size", "time"]]
    for step in report.steps:
        figure = step.figure
        rows.append(
            [
                figure.step,
                "-" if figure.correct is None else f"{figure.correct}/{figure.count}",
                percent(step.accuracy),
                percent(figure.mean_recall),
                percent(figure.agreement),
                f"{figure.max_error:.3g}",
                "-" if step.bytes is None else f"{step.bytes / 1e6:.2f} MB",
                "-" if step.seconds is None else f"{step.seconds:.1f} s",
            ]
        )
    return table(rows, right=range(1, 8))
