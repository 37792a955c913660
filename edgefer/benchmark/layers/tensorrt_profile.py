"""Layer by layer through TensorRT's own profiler and engine inspector.

Written against the bindings of TensorRT 10.3 to 11 (`IProfiler`, `EngineInspector`) and tested on fakes: it has not yet
been run on a GPU.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from edgefer.benchmark.layers.engine_report import Facts, engine_rows, inspector_layers
from edgefer.benchmark.layers.rows import Profile
from edgefer.errors import EdgeferError

_WARM_UP = 5


def profile(
    trt: Any, engine: Any, context: Any, execute: Callable[[], None], facts: Facts, *, runs: int, seconds: float = 0.0
) -> Profile:
    """Run under the profiler: at least `runs` times, and on until `seconds` have passed.

    Args:
        trt: the module `tensorrt`, or one with its names.
        engine: an `ICudaEngine` with detailed profiling verbosity.
        context: an `IExecutionContext` of it; its profiler is set, and it should not be used for anything else.
        execute: one inference on `context`, finished on return; not the replay of a CUDA graph, which reports no layer.
        facts: of the ONNX that the engine came from.

    Raises:
        EdgeferError: no layer was reported.
        EngineIncompatible: the engine does not describe its layers.
    """
    layers = inspector_layers(_inspected(trt, engine, context))
    times = layer_times(trt, context, execute, runs=runs, seconds=seconds)
    rows = engine_rows(layers, facts, times)
    named = {layer.name for layer in layers}
    unknown = sorted(times.keys() - named)
    note = "medians under TensorRT's profiler, which keeps layers from overlapping; no CUDA graph"
    if unknown:
        note += f"; {len(unknown)} timed layers are not in the engine's description, such as {unknown[0]}"
    return Profile("tensorrt-profiler", rows, note)


def layer_times(
    trt: Any, context: Any, execute: Callable[[], None], *, runs: int, seconds: float = 0.0
) -> Mapping[str, float]:
    """Median seconds of every layer by name.

    Raises:
        EdgeferError: no layer was reported.
    """
    collector = _collector(trt)
    context.profiler = collector
    started, done = time.monotonic(), 0
    while done < runs + _WARM_UP or time.monotonic() - started < seconds:
        if done == _WARM_UP:
            collector.milliseconds.clear()
        execute()
        done += 1
    counted = done - _WARM_UP
    if not collector.milliseconds:
        raise EdgeferError(
            "TensorRT reported no time of any layer",
            hint="the context must run by itself: a replayed CUDA graph has no layers to report",
        )
    return {name: _per_run(values, counted) / 1e3 for name, values in collector.milliseconds.items()}


def _per_run(values: list[float], runs: int) -> float:
    """A layer inside a loop is reported several times in each run."""
    if len(values) % runs:
        return sum(values) / runs
    each = len(values) // runs
    return statistics.median(sum(values[start : start + each]) for start in range(0, len(values), each))


def _collector(trt: Any) -> Any:
    """An `IProfiler`; the binding wants a class of its own, whose constructor is called, so it is made here."""

    class Collector(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.milliseconds: dict[str, list[float]] = defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.milliseconds[layer_name].append(ms)

    return Collector()


def _inspected(trt: Any, engine: Any, context: Any) -> str:
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context  # the shapes of this context's profile
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
