"""Where the time of a bundle goes on this machine, and what its engine was compiled into."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgefer.benchmark import stimulus
from edgefer.benchmark.layers import onnxruntime_profile, openvino_profile
from edgefer.benchmark.layers.engine_report import report_profile
from edgefer.benchmark.layers.graph import graph_facts
from edgefer.benchmark.layers.rates import Library
from edgefer.benchmark.layers.roofline import measure_bounds, precisions_of, roofline
from edgefer.benchmark.layers.rows import Profile, record
from edgefer.benchmark.result import Layers
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.engine.report import EngineReport
from edgefer.errors import EnvironmentMismatch
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer.runtime.openvino_runner import OpenVinoRunner
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.runners import Opened, open_runner

RUNS = 50
SECONDS = 1.0


def layers(bundle: Bundle, spec: BenchmarkSpec, *, runs: int = RUNS, seconds: float = SECONDS) -> Layers:
    """Profile the graph as a session of `spec` runs it (device, threads, graph), in its smallest batch.

    At least `runs` runs and on until `seconds` have passed, after some to warm up; then the roofline is measured.

    Raises:
        EnvironmentMismatch: the device cannot be had, its runner has no profiler, or there is no room for the profile.
        EdgeferError: the profiler gave nothing that can be read.
    """
    if spec.device == "tensorrt":  # said before an engine is built for nothing
        raise _no_profiler(spec.device)
    graph = bundle.graph(spec.graph)
    feeds = stimulus.batch(stimulus.tensors(bundle, graph), min(graph.batches))
    try:
        with tempfile.TemporaryDirectory(prefix="edgefer-profile-", ignore_cleanup_errors=True) as name:
            request = RunnerRequest(bundle, graph, spec.threads, True, profile=Path(name), gpu=spec.gpu)
            opened = open_runner(spec.device, request)
            try:
                profile, library = _profile(opened, Path(name), feeds, runs, seconds)
            finally:
                opened.runner.close()
    except OSError as error:
        raise EnvironmentMismatch(
            f"cannot write a profile to {tempfile.gettempdir()}: {error}",
            hint="free some space there, or point TMPDIR at a folder with room for twice the model",
        ) from error
    try:
        bounds = measure_bounds(spec.threads, precisions_of(profile.rows), library)
    except EnvironmentMismatch as error:
        return record(profile, note=f"no roofline: {error.message}")
    return record(profile, roofline(profile, bounds))


def compiled_layers(bundle: Bundle, report: EngineReport, graph: str | None = None) -> Layers:
    """The layers of an engine as it was compiled, without times; operations need the package `onnx`.

    Args:
        bundle: what the engine was compiled from.
        report: its report, as `edgefer.engine.bundle_engine.compile_bundle` gives it.
        graph: the role of the graph; None is the first.
    """
    chosen = bundle.graph(graph)
    batch = min(report.batches)
    shapes = {spec.name: (batch, *spec.shape[1:]) for spec in chosen.inputs}
    try:
        facts = graph_facts(bundle.onnx(chosen), shapes)
    except EnvironmentMismatch as error:
        return record(report_profile(report, {}), note=f"no operations: {error.message}")
    return record(report_profile(report, facts))


def _profile(
    opened: Opened, folder: Path, feeds: stimulus.Tensors, runs: int, seconds: float
) -> tuple[Profile, Library]:
    runner = opened.runner
    if isinstance(runner, OnnxRuntimeRunner):
        return onnxruntime_profile.profile(runner, folder, feeds, runs=runs, seconds=seconds), "onnxruntime"
    if isinstance(runner, OpenVinoRunner):
        return openvino_profile.profile(runner.compiled, feeds, runs=runs, seconds=seconds), "openvino"
    raise _no_profiler(opened.name)


def _no_profiler(runner: str) -> EnvironmentMismatch:
    return EnvironmentMismatch(
        f"the runner '{runner}' has no profiler of its layers here",
        hint="--device cpu profiles the same network through onnxruntime or OpenVINO",
    )
