"""Ranges of activations over the calibration data, in memory that does not grow with the number of samples.

The graph is given the wanted tensors as outputs and run sample by sample in onnxruntime. Minimum and maximum are taken
in NumPy: beside the run they cost 3 %, less than reductions appended to the graph, and unlike those they carry a NaN
through. The histogram methods run the data twice, first for the largest magnitudes, then for the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgefer.errors import CalibrationError, ExportError
from edgefer.progress import Advance, Reporter
from edgefer_export.quantise.entropy import ENTROPY_BINS, entropy_threshold
from edgefer_export.quantise.feed_check import FeedCheck
from edgefer_export.quantise.histogram import Histogram
from edgefer_export.quantise.percentile import percentile_threshold
from edgefer_export.quantise.result import Range
from edgefer_export.quantise.spec import QuantiseSpec
from edgefer_export.quantise.weights import INT8_MAX, SMALLEST_SCALE

Feed = Mapping[str, np.ndarray]
Feeds = Callable[[], Iterator[Feed]]

# A range below this has a scale that FP16 cannot hold.
SMALLEST_THRESHOLD = INT8_MAX * SMALLEST_SCALE
# The second pass may exceed the first by rounding (thread order), not by more.
_REPEAT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """Ranges by tensor; those of tensors too small for a scale have threshold and scale 0."""

    ranges: dict[str, Range]
    count: int
    first: Feed


def calibrate(
    model: onnx.ModelProto, tensors: list[str], feeds: Feeds, spec: QuantiseSpec, reporter: Reporter
) -> Calibration:
    """Run all samples through the graph and take the range of each of `tensors` by `spec.method`.

    Raises:
        InputError: a sample does not fit the graph's inputs.
        CalibrationError: no samples, a tensor with NaN or infinity, or data that changed between two passes.
        ExportError: onnxruntime does not take the graph.
    """
    tap = ActivationTap(model, tensors, spec.threads)
    extrema: dict[str, tuple[float, float]] = dict.fromkeys(tensors, (np.inf, -np.inf))
    count, first = 0, None
    with _one_pass(feeds, reporter, "calibration: ranges") as (samples, advance):
        for feed in samples:
            for name, values in tap.run(feed, count):
                low, high = float(values.min()), float(values.max())
                if not (np.isfinite(low) and np.isfinite(high)):
                    raise CalibrationError(
                        f"tensor '{name}' holds NaN or infinity for calibration sample {count}",
                        hint="check the network on this sample in FP32; INT8 needs finite activations",
                    )
                extrema[name] = (min(low, extrema[name][0]), max(high, extrema[name][1]))
            first = feed if first is None else first
            count += 1
            advance(1)
    if first is None:
        raise CalibrationError(
            "the calibration data is empty: no data, no INT8",
            hint="give images like those of the cabin (64 or more), or build with --precision fp16",
        )
    amax = {name: max(abs(low), abs(high)) for name, (low, high) in extrema.items()}
    live = {name: value for name, value in amax.items() if value >= SMALLEST_THRESHOLD}
    thresholds, clipped = dict(live), dict.fromkeys(live, 0.0)
    if spec.method != "max":
        for name, histogram in _histograms(tap, feeds, live, count, reporter).items():
            thresholds[name] = max(_threshold(histogram, spec), SMALLEST_THRESHOLD)
            clipped[name] = histogram.share_above(thresholds[name])
    ranges = {name: _range(spec, extrema[name], thresholds.get(name, 0.0), clipped.get(name, 0.0)) for name in tensors}
    return Calibration(ranges, count, first)


@contextmanager
def _one_pass(feeds: Feeds, reporter: Reporter, task: str) -> Iterator[tuple[Iterator[Feed], Advance]]:
    samples = feeds()
    try:
        with reporter.task(task, len(feeds) if isinstance(feeds, Sized) else None) as advance:
            yield samples, advance
    finally:
        # A generator that an error leaves suspended would keep its threads and files until it is collected.
        close = getattr(samples, "close", None)
        if close is not None:
            close()


def _histograms(
    tap: ActivationTap, feeds: Feeds, amax: dict[str, float], count: int, reporter: Reporter
) -> dict[str, Histogram]:
    """Count the magnitudes of the tensors in `amax`, in a second pass over the data."""
    histograms = {name: Histogram(value) for name, value in amax.items()}
    seen = 0
    with _one_pass(feeds, reporter, "calibration: histograms") as (samples, advance):
        for feed in samples:
            for name, values in tap.run(feed, seen):
                if name not in histograms:
                    continue
                largest = max(abs(float(values.min())), abs(float(values.max())))
                if not largest <= amax[name] * (1 + _REPEAT_TOLERANCE):
                    raise _changed(f"tensor '{name}' reaches {largest:g} in sample {seen}, {amax[name]:g} before")
                histograms[name].add(values)
            seen += 1
            advance(1)
    if seen != count:
        raise _changed(f"{seen} samples, {count} before")
    return histograms


def _changed(what: str) -> CalibrationError:
    return CalibrationError(
        f"the calibration data changed between two passes: {what}",
        hint="give data that reads the same twice, without random augmentation",
    )


def _threshold(histogram: Histogram, spec: QuantiseSpec) -> float:
    if spec.method == "entropy":
        counts = histogram.folded(ENTROPY_BINS)
        counts[0] -= histogram.zeros
        return entropy_threshold(counts, histogram.amax / ENTROPY_BINS)
    if histogram.zeros >= histogram.total * (spec.percentile / 100):
        # The percentile is 0 where nearly everything is: it would clip all that is left.
        return histogram.amax
    return percentile_threshold(histogram.counts, histogram.width, spec.percentile)


def _range(spec: QuantiseSpec, extrema: tuple[float, float], threshold: float, clipped: float) -> Range:
    scale = float(np.float32(threshold / INT8_MAX))
    return Range(spec.method, *extrema, threshold=threshold, scale=scale, clipped=clipped)


class ActivationTap:
    """An onnxruntime session that gives the wanted tensors instead of the graph's own outputs."""

    def __init__(self, model: onnx.ModelProto, tensors: list[str], threads: int | None) -> None:
        self._check = FeedCheck(model.graph)
        inputs = {value.name for value in model.graph.input}
        self._tensors = tensors
        self._outputs = [name for name in tensors if name not in inputs]
        self._session = _session(_with_outputs(model, self._outputs), threads) if self._outputs else None

    def run(self, feed: Feed, index: int) -> list[tuple[str, np.ndarray]]:
        """The wanted tensors for sample number `index`, by name.

        Raises:
            InputError: the sample does not fit the graph's inputs.
            CalibrationError: onnxruntime fails on it.
        """
        self._check(feed, index)
        values: dict[str, np.ndarray] = dict(feed)
        if self._session is not None:
            try:
                results = self._session.run(self._outputs, dict(feed))
            except Exception as error:  # onnxruntime's exceptions share no base class
                raise CalibrationError(
                    f"onnxruntime fails on calibration sample {index}: {error}",
                    hint="check the shapes of the sample's inputs against each other",
                ) from error
            values.update(zip(self._outputs, results, strict=True))
        return [(name, values[name]) for name in self._tensors]


def _with_outputs(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    return tapped


def _session(model: onnx.ModelProto, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Optimised, unlike what verdicts are taken with: a range does not care for the last bits, and it halves the time.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Idle threads that spin hold a core while NumPy counts; on a machine with other work that costs 40 % of the time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ExportError(
            f"onnxruntime does not take the graph to be quantised: {error}",
            hint="the FP32 graph must run in onnxruntime first; check the export",
        ) from error
