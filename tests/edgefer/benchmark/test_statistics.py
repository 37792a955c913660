"""Figures of samples: what a percentile needs, intervals that hold on correlated series, ratios, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.benchmark.statistics import interval_of_mean, latency, ratio, verdict
from edgefer.errors import InputError, UsageError


def correlated(generator: np.random.Generator, count: int, rho: float) -> np.ndarray:
    """A first-order autoregression of unit variance."""
    shocks = generator.standard_normal(count) * np.sqrt(1 - rho**2)
    values = np.empty(count)
    values[0] = generator.standard_normal()
    for index in range(1, count):
        values[index] = rho * values[index - 1] + shocks[index]
    return values


def test_figures_of_a_small_sample_by_hand() -> None:
    figures = latency([0.004, 0.001, 0.003, 0.002])
    assert (figures.count, figures.minimum, figures.maximum) == (4, 0.001, 0.004)
    assert figures.mean == pytest.approx(0.0025)
    assert figures.p50 == pytest.approx(0.0025)
    assert figures.standard_deviation == pytest.approx(np.std([1e-3, 2e-3, 3e-3, 4e-3], ddof=1))
    assert figures.jitter == pytest.approx((0.003 + 0.002 + 0.001) / 3)
    assert figures.variation == pytest.approx(figures.standard_deviation / 0.0025)


@pytest.mark.parametrize(("name", "least"), [("p90", 10), ("p95", 20), ("p99", 100), ("p999", 1000)])
def test_a_percentile_that_would_be_the_maximum_is_none(name: str, least: int) -> None:
    durations = np.random.default_rng(0).permutation(np.arange(1.0, least + 1))
    assert getattr(latency(durations[: least - 1]), name) is None
    found = getattr(latency(durations), name)
    assert found == least - 1  # the largest but one


def test_one_run_has_no_spread_and_an_interval_of_itself() -> None:
    figures = latency([0.5])
    assert (figures.jitter, figures.standard_deviation, figures.variation) == (0, 0, 0)
    assert (figures.median.low, figures.p50, figures.median.high) == (0.5, 0.5, 0.5)


def test_too_few_runs_for_the_confidence_give_their_whole_range() -> None:
    interval = latency([3.0, 1.0, 2.0, 5.0, 4.0], confidence=0.95).median
    assert (interval.low, interval.high) == (1.0, 5.0)


def test_a_constant_series_has_an_interval_without_width() -> None:
    interval = latency([0.01] * 50).median
    assert (interval.low, interval.high) == (0.01, 0.01)


def test_the_seed_decides_and_higher_confidence_is_wider() -> None:
    durations = np.random.default_rng(1).lognormal(size=200)
    assert latency(durations, seed=3) == latency(durations, seed=3)
    narrow, wide = (latency(durations, confidence=level).median for level in (0.9, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_intervals_of_the_median_hold_where_runs_depend_on_their_neighbours(rho: float) -> None:
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(100):
        # The true median is 1; exp keeps it and gives the long tail to the right that durations have.
        interval = latency(np.exp(0.05 * correlated(generator, 300, rho)), confidence=0.95).median
        missed += not interval.low <= 1 <= interval.high
    assert missed <= 11  # drawing single runs misses about half of them at rho 0.8


def test_a_median_among_ten_thousand_outliers_is_found() -> None:
    generator = np.random.default_rng(3)
    durations = 0.01 * (1 + generator.pareto(1.0, 10_000))
    figures = latency(durations)
    assert figures.median.low <= 0.02 <= figures.median.high
    assert figures.median.high - figures.median.low < 0.002


@pytest.mark.parametrize("bad", [[], [[0.1]], [0.1, -0.1], [0.1, float("nan")], [float("inf")]])
def test_durations_that_cannot_be_are_refused(bad: list[float]) -> None:
    with pytest.raises(InputError, match="duration"):
        latency(bad)


@pytest.mark.parametrize("confidence", [0.0, 0.49, 1.0, 95.0])
def test_a_confidence_that_cannot_be_is_refused(confidence: float) -> None:
    for measure in (latency, interval_of_mean):
        with pytest.raises(UsageError, match="confidence"):
            measure([0.1, 0.2], confidence=confidence)
    with pytest.raises(UsageError, match="confidence"):
        ratio([0.1], [0.2], paired=True, confidence=confidence)


def test_drift_common_to_both_cancels_from_a_paired_ratio() -> None:
    generator = np.random.default_rng(4)
    speeds = np.repeat(generator.permutation(np.repeat([1.0, 1.3], 10)), 20)  # two speeds, in phases of 20 rounds
    ours, theirs = (speeds * (1 + 0.01 * generator.standard_normal(400)) for _ in range(2))
    paired = ratio(1.05 * ours, theirs, paired=True)
    assert paired.verdict == "slower"
    assert paired.interval.high - paired.interval.low < 0.01
    assert paired.interval.low < 1.05 < paired.interval.high
    unpaired = ratio(1.05 * ours, theirs, paired=False)
    assert unpaired.interval.high - unpaired.interval.low > 10 * (paired.interval.high - paired.interval.low)


def test_a_ratio_far_from_one_is_not_bent_by_taking_out_the_drift() -> None:
    generator = np.random.default_rng(5)
    ours, theirs = (1 + 0.02 * generator.standard_normal(301) for _ in range(2))
    found = ratio(0.2 * ours, theirs, paired=True)
    assert found.value == pytest.approx(0.2, rel=0.01)
    assert found.verdict == "faster"


def test_swapping_the_two_turns_the_ratio_over() -> None:
    generator = np.random.default_rng(6)
    ours, theirs = (generator.lognormal(sigma=0.1, size=150) for _ in range(2))
    there, back = ratio(ours, theirs, paired=True), ratio(theirs, ours, paired=True)
    assert there.value == pytest.approx(1 / back.value)
    assert there.interval.low == pytest.approx(1 / back.interval.high, rel=1e-6)


def test_unpaired_samples_may_differ_in_length() -> None:
    generator = np.random.default_rng(7)
    found = ratio(1.1 + 0.01 * generator.random(80), 1 + 0.01 * generator.random(500), paired=False)
    assert found.verdict == "slower"
    assert found.interval.confidence == 0.99


def test_another_quantile_can_be_compared() -> None:
    generator = np.random.default_rng(8)
    calm = 1 + 0.01 * generator.random(2000)
    bursts = np.where(np.arange(2000) % 20 == 0, 3 * calm, calm)
    assert ratio(bursts, calm, paired=False).verdict == "within-noise"
    tail = ratio(bursts, calm, paired=False, quantile=0.99)
    assert tail.verdict == "slower"
    assert tail.value == pytest.approx(3, rel=0.02)


def test_small_samples_are_within_noise_whatever_they_say() -> None:
    found = ratio([2.0] * 7, [1.0] * 7, paired=True, confidence=0.99)
    assert found.verdict == "within-noise"
    assert ratio([2.0] * 8, [1.0] * 8, paired=True, confidence=0.99).verdict == "slower"
    assert ratio([2.0] * 100, [1.0] * 100, paired=False, quantile=0.99).verdict == "within-noise"


def test_a_sure_difference_below_the_smallest_is_within_noise() -> None:
    generator = np.random.default_rng(9)
    base = 1 + 0.001 * generator.standard_normal(500)
    other = 1.003 * (1 + 0.001 * generator.standard_normal(500))
    assert ratio(other, base, paired=True).verdict == "within-noise"
    assert ratio(other, base, paired=True, smallest=0.0).verdict == "slower"
    sure = ratio(other, base, paired=True, smallest=0.0).interval
    assert (verdict(sure, 0.0), verdict(sure, 0.01)) == ("slower", "within-noise")


def test_ratios_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="3 and 2 durations are not pairs"):
        ratio([1, 2, 3], [1, 2], paired=True)
    with pytest.raises(InputError, match="is zero"):
        ratio([1.0] * 20, [0.0] * 20, paired=False)
    with pytest.raises(InputError, match="is zero"):
        ratio([0.0] * 20, [0.0] * 20, paired=True)
    for wrong in ({"quantile": 1.0}, {"smallest": -0.1}):
        with pytest.raises(UsageError, match="shares"):
            ratio([1.0], [1.0], paired=True, **wrong)


def test_the_mean_of_a_correlated_series_lies_in_its_interval() -> None:
    generator = np.random.default_rng(10)
    missed = 0
    for _ in range(100):
        interval = interval_of_mean(100 + correlated(generator, 200, 0.5), confidence=0.95)
        missed += not interval.low <= 100 <= interval.high
    assert missed <= 11
