"""Entropy and percentile thresholds against slow float64 references written from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgefer_export.quantise.entropy import entropy_divergences, entropy_threshold
from edgefer_export.quantise.histogram import Histogram
from edgefer_export.quantise.percentile import percentile_threshold


def slow_divergence(counts: list[int], kept: int, levels: int) -> float:
    """KL(P‖Q) for one candidate, bin by bin, as the presentation describes it."""
    reference = [float(count) for count in counts[:kept]]
    reference[-1] += sum(counts[kept:])
    candidate = [0.0] * kept
    for level in range(levels):
        first, end = level * kept // levels, (level + 1) * kept // levels
        occupied = [index for index in range(first, end) if counts[index] > 0]
        for index in occupied:
            candidate[index] = sum(counts[first:end]) / len(occupied)
    p_sum, q_sum = math.fsum(reference), math.fsum(candidate)
    terms = []
    for p, q in zip(reference, candidate, strict=True):
        if p > 0:
            if q == 0:
                return math.inf
            terms.append(p / p_sum * math.log((p / p_sum) / (q / q_sum)))
    return math.fsum(terms)


def distributions(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "half normal": np.abs(rng.standard_normal(20_000)),
        "long tail": np.abs(rng.standard_t(2, 20_000)),
        "uniform": rng.random(20_000),
        "few values": np.abs(rng.standard_normal(60)),
        "one outlier": np.append(np.abs(rng.standard_normal(5_000)), 400.0),
        "rectified": np.maximum(rng.standard_normal(20_000), 0),
    }


@pytest.mark.parametrize("name", sorted(distributions(np.random.default_rng())))
@pytest.mark.parametrize(("bins", "levels"), [(256, 32), (200, 64), (64, 64)])
def test_divergences_match_the_loop(rng: np.random.Generator, name: str, bins: int, levels: int) -> None:
    values = distributions(rng)[name]
    counts, _ = np.histogram(values, bins=bins, range=(0, values.max()))
    expected = [slow_divergence(counts.tolist(), kept, levels) for kept in range(levels, bins + 1)]
    np.testing.assert_allclose(entropy_divergences(counts, levels), expected, rtol=1e-9, atol=1e-12)


def test_threshold_of_2048_bins_and_128_levels_matches_the_loop(rng: np.random.Generator) -> None:
    values = np.abs(rng.standard_t(3, 50_000))
    counts, edges = np.histogram(values, bins=2048, range=(0, values.max()))
    expected = [slow_divergence(counts.tolist(), kept, 128) for kept in range(128, 2049, 16)]
    np.testing.assert_allclose(entropy_divergences(counts)[::16], expected, rtol=1e-9, atol=1e-12)
    kept = 128 + int(np.argmin(entropy_divergences(counts)))
    assert entropy_threshold(counts, edges[1]) == pytest.approx((kept + 0.5) * edges[1])
    assert slow_divergence(counts.tolist(), kept, 128) <= min(expected)


def test_nothing_is_clipped_when_every_cut_loses_a_value() -> None:
    counts = np.zeros(2048, np.int64)
    counts[[5, 2047]] = 1000
    assert entropy_threshold(counts, 0.5) == 1024.0


def test_an_outlier_is_clipped_by_entropy() -> None:
    rng = np.random.default_rng(3)
    values = np.append(np.abs(rng.standard_normal(100_000)), 40.0)
    counts, edges = np.histogram(values, bins=2048, range=(0, values.max()))
    assert 2.5 < entropy_threshold(counts, edges[1]) < 10


@pytest.mark.parametrize("percentile", [60.0, 99.0, 99.99, 100.0])
@pytest.mark.parametrize("name", sorted(distributions(np.random.default_rng())))
def test_percentile_is_within_a_bin_of_the_values_own(rng: np.random.Generator, name: str, percentile: float) -> None:
    values = distributions(rng)[name]
    histogram = Histogram(float(values.max()))
    histogram.add(values.astype(np.float32))
    found = percentile_threshold(histogram.counts, histogram.width, percentile)
    # The exact percentile from the sorted values: the smallest that `percentile` percent do not exceed.
    exact = np.sort(values)[max(math.ceil(len(values) * percentile / 100 - 1e-9), 1) - 1]
    assert abs(found - exact) <= histogram.width * 1.01


def test_histogram_counts_like_numpy(rng: np.random.Generator) -> None:
    values = (rng.standard_normal((7, 3, 50)) * 3).astype(np.float32)
    values[0, 0, :10] = 0
    amax = float(np.abs(values).max())
    histogram = Histogram(amax, bins=512)
    histogram.add(values[:4])
    histogram.add(values[4:])
    expected, _ = np.histogram(np.abs(values.astype(np.float64)), bins=512, range=(0, amax))
    # A value on an edge may fall on either side in float32.
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 2
    assert histogram.total == values.size
    assert histogram.zeros == 10
    assert histogram.folded(64).tolist() == histogram.counts.reshape(64, 8).sum(1).tolist()


def test_histogram_puts_the_largest_magnitude_in_the_last_bin() -> None:
    histogram = Histogram(2.0, bins=4)
    histogram.add(np.array([-2.0, 2.0, 2.0000002, 0.0, 1.0], np.float32))
    assert histogram.counts.tolist() == [1, 0, 1, 3]
    assert histogram.share_above(1.0) == pytest.approx(4 / 5)
    assert histogram.share_above(2.0) == 0


def test_histogram_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive range"):
        Histogram(0.0)
