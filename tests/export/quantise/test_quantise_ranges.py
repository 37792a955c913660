"""Calibration: the three methods on whole graphs, memory, and data that cannot be used."""

from __future__ import annotations

import math
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.errors import CalibrationError, InputError, UsageError
from edgefer.progress import Silent
from edgefer_export.quantise import METHODS, Method, QuantisedGraph, QuantiseSpec, Range, quantise
from edgefer_export.quantise.entropy import entropy_divergences

onnx = pytest.importorskip("onnx")
node = onnx.helper.make_node

Feed = dict[str, np.ndarray]
SHAPE = [1, 4, 16, 16]


@pytest.fixture
def chain(make_model: Callable[..., Any]) -> Any:
    """x -> Conv -> Relu -> Conv -> y: a signed range on x, one from 0 on the ReLU."""
    weights = np.random.default_rng(8).standard_normal((2, 4, 4, 1, 1)).astype(np.float32)
    nodes = [
        node("Conv", ["x", "w0"], ["c"], name="first"),
        node("Relu", ["c"], ["r"], name="relu"),
        node("Conv", ["r", "w1"], ["y"], name="second"),
    ]
    return make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w0": weights[0], "w1": weights[1]})


def long_tailed(rng: np.random.Generator, count: int) -> list[Feed]:
    return [{"x": rng.standard_t(3, SHAPE).astype(np.float32)} for _ in range(count)]


def calibrated(model: Any, samples: list[Feed], method: Method, percentile: float = 99.99) -> QuantisedGraph:
    return quantise(model, lambda: iter(samples), QuantiseSpec(method=method, percentile=percentile), Silent())


def values_of(model: Any, samples: list[Feed], run: Callable[..., list[np.ndarray]]) -> dict[str, np.ndarray]:
    """All values of x and of the ReLU's output, in float64."""
    rectified = [run(model, sample, ["r"])[0].ravel() for sample in samples]
    inputs = [sample["x"].ravel() for sample in samples]
    return {"x": np.concatenate(inputs).astype(np.float64), "r": np.concatenate(rectified).astype(np.float64)}


def check_common(found: Range, values: np.ndarray) -> None:
    assert found.minimum == pytest.approx(values.min(), rel=1e-5, abs=1e-6)
    assert found.maximum == pytest.approx(values.max(), rel=1e-5)
    assert found.amax == pytest.approx(np.abs(values).max(), rel=1e-5)
    assert found.scale == pytest.approx(found.threshold / 127, rel=1e-6)
    clipped = np.mean(np.abs(values) > found.threshold)
    assert found.clipped == pytest.approx(clipped, abs=2 / len(values) + 0.05 * clipped)


def test_max_takes_the_largest_magnitude(
    rng: np.random.Generator, chain: Any, run: Callable[..., list[np.ndarray]]
) -> None:
    samples = long_tailed(rng, 6)
    ranges = calibrated(chain, samples, "max").ranges
    assert list(ranges) == ["x", "r"]
    for name, values in values_of(chain, samples, run).items():
        check_common(ranges[name], values)
        assert ranges[name].threshold == pytest.approx(np.abs(values).max(), rel=1e-5)
        assert ranges[name].method == "max"


@pytest.mark.parametrize("percentile", [99.0, 99.99])
def test_percentile_matches_the_sorted_values(
    rng: np.random.Generator, chain: Any, run: Callable[..., list[np.ndarray]], percentile: float
) -> None:
    samples = long_tailed(rng, 12)
    ranges = calibrated(chain, samples, "percentile", percentile).ranges
    for name, values in values_of(chain, samples, run).items():
        check_common(ranges[name], values)
        ordered = np.sort(np.abs(values))
        exact = ordered[math.ceil(len(ordered) * percentile / 100) - 1]
        assert ranges[name].threshold == pytest.approx(exact, abs=1.1 * ordered[-1] / 32768)


def test_entropy_has_the_least_divergence_of_a_float64_histogram(
    rng: np.random.Generator, chain: Any, run: Callable[..., list[np.ndarray]]
) -> None:
    samples = long_tailed(rng, 12)
    ranges = calibrated(chain, samples, "entropy").ranges
    for name, values in values_of(chain, samples, run).items():
        check_common(ranges[name], values)
        magnitudes = np.abs(values[values != 0])
        counts, edges = np.histogram(magnitudes, bins=2048, range=(0, magnitudes.max()))
        divergences = entropy_divergences(counts)
        kept = min(int(ranges[name].threshold / edges[1]), 2048)
        # A value on the edge of a bin can fall on either side in float32, and minima lie close together.
        nearby = divergences[max(kept - 128 - 1, 0) : kept - 128 + 2]
        assert nearby.min() <= divergences.min() + 1e-4


def test_methods_differ_on_a_long_tail(rng: np.random.Generator, chain: Any) -> None:
    signs = rng.choice([-1, 1], (64, *SHAPE))
    samples = [{"x": (sign * rng.lognormal(0, 1, SHAPE)).astype(np.float32)} for sign in signs]
    thresholds = {method: calibrated(chain, samples, method).ranges["x"].threshold for method in METHODS}
    # Over 300 draws: percentile at most 0.88 of max, entropy at most 0.70 of percentile.
    assert thresholds["percentile"] < 0.95 * thresholds["max"]
    assert thresholds["entropy"] < 0.8 * thresholds["percentile"]


def test_percentile_of_a_tensor_that_is_nearly_always_zero_clips_nothing(chain: Any) -> None:
    sparse = np.zeros(SHAPE, np.float32)
    sparse[0, :, 0, 0] = (1, -2, 3, 4)
    ranges = calibrated(chain, [{"x": sparse}] * 20, "percentile", 99.0).ranges
    assert ranges["x"].threshold == 4


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_samples_does_not_matter(rng: np.random.Generator, chain: Any, method: Method) -> None:
    samples = long_tailed(rng, 5)
    assert calibrated(chain, samples, method).ranges == calibrated(chain, samples[::-1], method).ranges


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_number_of_samples(make_resnet: Callable[..., Any], method: Method) -> None:
    model = make_resnet(width=8)

    def peak(count: int) -> int:
        def feeds() -> Iterator[Feed]:
            rng = np.random.default_rng(1)
            for _ in range(count):
                yield {name: rng.random((1, 3, 32, 32), np.float32) for name in ("visible", "infrared")}

        tracemalloc.start()
        try:
            result = quantise(model, feeds, QuantiseSpec(method=method), Silent())
            assert result.count == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4)  # imports and caches
    # One kept intermediate per sample would be 4 KiB to 64 KiB each: 448 more samples, 2 MB and up.
    assert peak(512) < peak(64) + 100_000


def test_no_data_no_int8(chain: Any) -> None:
    with pytest.raises(CalibrationError, match="no data, no INT8") as caught:
        calibrated(chain, [], "max")
    assert "fp16" in caught.value.hint


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({}, "has the inputs none, the graph takes 'x'"),
        ({"image": np.zeros(SHAPE, np.float32)}, "has the inputs 'image', the graph takes 'x'"),
        ({"x": np.zeros(SHAPE, np.float32), "z": np.zeros(1)}, "has the inputs 'x', 'z', the graph takes 'x'"),
        ({"x": np.zeros(SHAPE, np.float64)}, "input 'x': found float64, expected float32"),
        ({"x": np.zeros(SHAPE, np.uint8)}, "input 'x': found uint8, expected float32"),
        ({"x": np.zeros((2, 4, 16, 16), np.float32)}, "found shape 2x4x16x16, expected 1x4x16x16"),
        ({"x": np.zeros((4, 16, 16), np.float32)}, "found shape 4x16x16, expected 1x4x16x16"),
        ({"x": np.full(SHAPE, np.nan, np.float32)}, "input 'x' holds NaN or infinity"),
        ({"x": np.full(SHAPE, -np.inf, np.float32)}, "input 'x' holds NaN or infinity"),
    ],
)
def test_a_sample_that_does_not_fit_is_named(chain: Any, feed: Feed, message: str) -> None:
    good = {"x": np.ones(SHAPE, np.float32)}
    with pytest.raises(InputError, match="calibration sample 1") as caught:
        calibrated(chain, [good, feed], "max")
    assert message in str(caught.value)
    assert caught.value.hint


def test_dynamic_sizes_are_free(make_model: Callable[..., Any], rng: np.random.Generator) -> None:
    weights = {"w": np.ones((4, 4, 1, 1), np.float32)}
    shape: list[Any] = ["n", 4, "h", "w_"]
    model = make_model([node("Conv", ["x", "w"], ["y"], name="conv")], {"x": shape}, {"y": shape}, weights)
    samples = [{"x": rng.random((1, 4, size, 8), np.float32)} for size in (8, 12)]
    assert calibrated(model, samples, "max").count == 2


def test_an_activation_that_overflows_is_named(make_model: Callable[..., Any]) -> None:
    nodes = [
        node("Exp", ["x"], ["e"], name="exp"),
        node("Conv", ["e", "w"], ["y"], name="conv"),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": np.ones((4, 4, 1, 1), np.float32)})
    fine, hot = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    with pytest.raises(CalibrationError, match="tensor 'e' holds NaN or infinity for calibration sample 1"):
        calibrated(model, [{"x": fine}, {"x": hot}], "max")


def test_a_nan_among_finite_values_is_found(make_model: Callable[..., Any]) -> None:
    nodes = [
        node("Sqrt", ["x"], ["s"], name="sqrt"),
        node("Conv", ["s", "w"], ["y"], name="conv"),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, {"w": np.ones((4, 4, 1, 1), np.float32)})
    values = np.ones(SHAPE, np.float32)
    values[0, 2, 3, 4] = -1
    with pytest.raises(CalibrationError, match="tensor 's' holds NaN"):
        calibrated(model, [{"x": values}], "max")


def test_data_that_changes_between_passes_is_refused(chain: Any) -> None:
    passes = iter([1.0, 2.0])

    def brighter() -> Iterator[Feed]:
        factor = next(passes)
        return iter([{"x": np.full(SHAPE, factor, np.float32)}])

    with pytest.raises(CalibrationError, match="changed between two passes: tensor 'x' reaches 2"):
        quantise(chain, brighter, QuantiseSpec(method="entropy"), Silent())


def test_data_that_shrinks_between_passes_is_refused(chain: Any) -> None:
    counts = iter([3, 2])

    def shorter() -> Iterator[Feed]:
        return iter([{"x": np.ones(SHAPE, np.float32)}] * next(counts))

    with pytest.raises(CalibrationError, match="2 samples, 3 before"):
        quantise(chain, shorter, QuantiseSpec(method="percentile"), Silent())


@pytest.mark.parametrize("stop_in_pass", [1, 2])
def test_an_interrupt_leaves_nothing_behind(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_in_pass: int
) -> None:
    monkeypatch.chdir(tmp_path)
    before, threads = chain.SerializeToString(), threading.active_count()
    passes, closed = 0, []

    def feeds() -> Iterator[Feed]:
        nonlocal passes
        passes += 1
        try:
            yield {"x": np.ones(SHAPE, np.float32)}
            if passes == stop_in_pass:
                raise KeyboardInterrupt
            yield {"x": np.ones(SHAPE, np.float32)}
        finally:
            closed.append(passes)

    with pytest.raises(KeyboardInterrupt):
        quantise(chain, feeds, QuantiseSpec(method="entropy"), Silent())
    assert closed == list(range(1, stop_in_pass + 1))
    assert chain.SerializeToString() == before
    assert threading.active_count() == threads
    assert not list(tmp_path.iterdir())


def test_an_error_closes_the_feeds(chain: Any) -> None:
    closed = []

    def feeds() -> Iterator[Feed]:
        try:
            yield {"x": np.full(SHAPE, np.nan, np.float32)}
        finally:
            closed.append(True)

    with pytest.raises(InputError) as caught:
        quantise(chain, feeds, QuantiseSpec(), Silent())
    assert closed, caught.value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "mse"}, "unknown calibration method 'mse'"),
        ({"method": "percentile", "percentile": 101.0}, "percentile of 101"),
        ({"percentile": 50.0}, "percentile of 50"),
        ({"percentile": math.nan}, "percentile of nan"),
        ({"exclude": ("[",)}, "'[' is no regular expression"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_a_specification_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        QuantiseSpec(**fields)
    assert message in caught.value.message
    assert caught.value.hint


def test_few_samples_are_noted(chain: Any, rng: np.random.Generator) -> None:
    assert any("only 3 calibration samples" in note for note in calibrated(chain, long_tailed(rng, 3), "max").notes)
    assert not calibrated(chain, long_tailed(rng, 16), "max").notes
