"""`edgefer inspect`: what is in a bundle."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgefer.cli.image_steps import image_steps
from edgefer.cli.options import add_bundle
from edgefer.cli.output import Outcome, facts, percent, table

if TYPE_CHECKING:
    from edgefer.bundle.container import Bundle
    from edgefer.bundle.manifest import GateSpec, InputSpec, Manifest

DESCRIPTION = "Read a bundle, check the digest of every member, and print its manifest (with --json: all of it)."
EXAMPLE = "edgefer inspect fusion.edgefer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle

    bundle = Bundle.read(arguments.bundle)
    payload = {"bundle": str(arguments.bundle), "digest": bundle.digest, "manifest": bundle.manifest}
    return Outcome(payload=payload, text=_summary(bundle, arguments.bundle))


def _summary(bundle: Bundle, path: str) -> str:
    manifest = bundle.manifest
    network = manifest.network
    options = ", ".join(f"{key}={value}" for key, value in network.options.items())
    parts = [
        facts(
            [
                ("bundle", path),
                ("digest", bundle.digest),
                ("network", f"{network.name} ({options})" if options else network.name),
                ("parameters", f"{network.parameters:,}" if network.parameters else ""),
                ("precision", manifest.precision),
                ("labels", ", ".join(manifest.labels)),
                ("calibration", _calibration(manifest)),
                ("golden inputs", _golden(manifest)),
                ("embedding", _embedding(manifest)),
                ("saliency", _saliency(manifest)),
                ("plugins", _plugins(manifest)),
                ("created", manifest.provenance.created),
                ("schema", str(manifest.schema)),
            ]
        )
    ]
    for graph in manifest.graphs:
        rows = [["graph", graph.role, "", ""]]
        for each in graph.inputs:
            rows.append(["", "input", each.name, _input(each)])
            rows += [["", "", "", text] for text in ([] if each.image is None else image_steps(each.image))]
        rows += [["", "output", each.name, _shape(each.shape)] for each in graph.outputs]
        parts.append(table(rows, header=False))
    parts.append(_gate(manifest.gate))
    return "\n\n".join(parts)


def _calibration(manifest: Manifest) -> str:
    calibration = manifest.calibration
    if calibration is None:
        return ""
    method = calibration.method + (f" {calibration.percentile:g}" if calibration.percentile is not None else "")
    return f"{calibration.count} samples, {method}, {calibration.digest}"


def _golden(manifest: Manifest) -> str:
    golden = manifest.golden
    if golden is None:
        return ""
    return f"{golden.count} ({'synthetic' if golden.synthetic else 'from data'}), tolerance {golden.tolerance:g}"


def _embedding(manifest: Manifest) -> str:
    embedding = manifest.embedding
    if embedding is None:
        return ""
    return (
        f"'{embedding.output}', means of {len(embedding.spread)} classes from {embedding.count} samples; none of these "
        f"beyond {embedding.reject_beyond:.3g} spreads, which keeps {percent(embedding.kept)} of them"
    )


def _saliency(manifest: Manifest) -> str:
    saliency = manifest.saliency
    if saliency is None:
        return ""
    rate = next(graph.rate for graph in manifest.graphs if graph.role == "saliency")
    made = (
        "" if saliency.network is None else f" of {saliency.network.name} ({saliency.network.parameters:,} parameters)"
    )
    return f"maps{made} go to '{saliency.input}' with weight {saliency.weight:g}, one run in {1 / rate:.4g} frames"


def _plugins(manifest: Manifest) -> str:
    """The operators that plugins may take over, and whether they are meant to."""
    counted = ", ".join(f"{each.count} {each.name}" for each in manifest.plugins)
    return f"{manifest.plugin_policy}, for {counted}" if counted else ""


def _input(spec: InputSpec) -> str:
    band = f", {spec.image.band}" if spec.image is not None and spec.image.band else ""
    colour = f", {spec.image.colour}" if spec.image is not None else ""
    return f"{_shape(spec.shape)} {spec.role}{band}{colour}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(each) for each in shape)


def _gate(gate: GateSpec) -> str:
    lines = [f"verdict: {gate.verdict}: {gate.reason}"]
    if gate.over_budget_allowed:
        lines.append("written although over budget, as asked for")
    if gate.steps:
        rows = [["step", "correct", "accuracy", "agreement", "largest error"]]
        for step in gate.steps:
            known = step.correct is not None and step.count > 0
            rows.append(
                [
                    step.step,
                    f"{step.correct}/{step.count}" if known else "-",
                    f"{100 * (step.correct or 0) / step.count:.2f} %" if known else "-",
                    percent(step.agreement),
                    f"{step.max_error:.3g}",
                ]
            )
        lines.append(table(rows, right=(1, 2, 3, 4)))
    return "\n".join(lines)
