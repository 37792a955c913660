"""The graphs of a build, one a step: exported, simplified, fused, quantised, in half precision."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

import onnx

from edgefer.bundle.manifest import OutputSpec
from edgefer.errors import CalibrationError
from edgefer.progress import Reporter
from edgefer_export.data.feeds import Feeds
from edgefer_export.fuse_attention import fuse_attention
from edgefer_export.half import to_half
from edgefer_export.network_argument import classify
from edgefer_export.networks.network import Network
from edgefer_export.quantise import QuantisedGraph, QuantiseSpec, quantise
from edgefer_export.simplify import simplify
from edgefer_export.spec import BuildSpec

CHECKED_SAMPLES = 4
"""Samples of the data that the export is checked on besides random inputs."""


@dataclass(frozen=True)
class StepGraph:
    """The graph after one step, with how long the step took in seconds and what it has to say."""

    name: str
    model: onnx.ModelProto
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of the serialised graph."""
        return int(self.model.ByteSize())


@dataclass(frozen=True)
class Graphs:
    """All steps in order; the last is what gets deployed."""

    steps: tuple[StepGraph, ...]
    outputs: tuple[OutputSpec, ...]
    quantised: QuantisedGraph | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def final(self) -> StepGraph:
        """The graph to deploy."""
        return self.steps[-1]


def make_graphs(
    network: Network,
    calibration: Feeds | None,
    spec: BuildSpec,
    reporter: Reporter,
    *,
    evaluation: Feeds | None = None,
) -> Graphs:
    """Run the steps that the precision asks for.

    The export is checked on the first samples of `calibration`, or of `evaluation` where that is all there is.

    Raises:
        ExportError: a graph does not compute what the network computes.
        CalibrationError: INT8 without usable data.
    """
    started = time.perf_counter()
    with reporter.task("export to ONNX"):
        data = calibration if calibration is not None else evaluation
        feeds = itertools.islice(iter(data), CHECKED_SAMPLES) if data is not None else None
        exported = network.export(feeds, spec.batches)
    for note in exported.notes:
        reporter.note(note)
    steps = [StepGraph(network.first_step, exported.model, time.perf_counter() - started, exported.notes)]

    started = time.perf_counter()
    with reporter.task("simplify"):
        simpler = exported.simplified or simplify(exported.model)
    if not simpler.simplified:
        reporter.note(simpler.note)
    notes = (simpler.note,) if simpler.note else ()
    steps.append(StepGraph("simplified", simpler.model, time.perf_counter() - started, notes))

    # A registered network wrote its operators when it was exported.
    if spec.fuse_attention == "auto" and classify(spec.network) != "registered":
        started = time.perf_counter()
        with reporter.task("look for attention"):
            fused = fuse_attention(steps[-1].model)
        for note in fused.report.sentences():
            reporter.note(note)
        if fused.changed:
            seconds = time.perf_counter() - started
            steps.append(StepGraph("fused", fused.model, seconds, fused.report.sentences()))

    quantised = None
    if spec.quantises and not network.native.startswith("int8"):
        if calibration is None:
            raise CalibrationError(
                "INT8 needs calibration data and none is given.", hint="Give --calibration, or build fp16."
            )
        started = time.perf_counter()
        quantised = quantise(steps[-1].model, calibration, quantise_spec(spec), reporter)
        steps.append(StepGraph("int8", quantised.model, time.perf_counter() - started, quantised.notes))

    if spec.target_precision in {"fp16", "int8+fp16"} and "fp16" not in network.native:
        started = time.perf_counter()
        with reporter.task("cast to FP16"):
            half = to_half(steps[-1].model)
        steps.append(StepGraph("fp16", half.model, time.perf_counter() - started, half.notes))
    return Graphs(tuple(steps), exported.outputs, quantised, {step.name: step.seconds for step in steps})


def quantise_spec(spec: BuildSpec) -> QuantiseSpec:
    """The quantiser's part of a build specification."""
    percentile = spec.percentile_value
    if percentile is None:
        return QuantiseSpec(method=spec.method, exclude=spec.exclude)
    return QuantiseSpec(method=spec.method, exclude=spec.exclude, percentile=percentile)
