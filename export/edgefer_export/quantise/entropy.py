"""The threshold whose quantised distribution loses the least information, after Migacz, "8-bit Inference with
TensorRT", GPU Technology Conference 2017.

For each number i of bins kept, from `levels` to all of them:

* P is the first i bins with the counts of all bins beyond added to the last of them: what saturating does;
* Q is the first i bins merged into `levels` levels (level j takes bins ⌊j·i/levels⌋ up to ⌊(j+1)·i/levels⌋), the
  count of a level spread evenly over those of its bins that are not empty: what the INT8 values can still tell;
* the divergence is KL(P‖Q) = Σ p·log(p/q) with both normalised; it is infinite where q is 0 and p is not.

The threshold is (i + ½) · width for the i of least divergence, never more than the largest magnitude.

Exact zeros are left out of the counts by the caller. A symmetric quantiser represents them without error, and after a
ReLU they are half of all values in a single bin, whose spreading over a level would otherwise drive the threshold down.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefer_export.quantise.histogram import Counts

ENTROPY_BINS = 2048
ENTROPY_LEVELS = 128


def entropy_divergences(counts: Counts, levels: int = ENTROPY_LEVELS) -> npt.NDArray[np.float64]:
    """KL(P‖Q) in nats for each number of bins kept, from `levels` to all.

    The sums over bins are differences of cumulative sums, so that a candidate costs `levels` terms and not `bins`
    iterations of several passes: Σ p·log q needs only the count, the outliers and the occupied bins of each level.

    Args:
        counts: (bins,) counts, at least one of them positive; bins ≥ levels.

    Returns:
        (bins - levels + 1,) float64.
    """
    bins = len(counts)
    kept = np.arange(levels, bins + 1)
    exact = counts.astype(np.float64)
    total = exact.sum()
    cumulative = _cumulative(exact)
    occupied = _cumulative(exact > 0)
    entropy = _cumulative(_x_log_x(exact))

    inside = cumulative[kept]
    outliers = total - inside
    last = exact[kept - 1]
    p_log_p = entropy[kept - 1] + _x_log_x(last + outliers)

    edges = np.arange(levels + 1) * kept[:, None] // levels
    level_counts = np.diff(cumulative[edges], axis=1)
    level_bins = np.diff(occupied[edges], axis=1)
    log_level = np.log(np.where(level_bins > 0, level_counts / np.maximum(level_bins, 1), 1.0))
    p_log_q = (level_counts * log_level).sum(axis=1) + outliers * log_level[:, -1]

    # P is normalised by all values, Q by those inside; a candidate may hold nothing at all.
    with np.errstate(divide="ignore"):
        divergence = (p_log_p - p_log_q) / total - np.log(total) + np.log(inside)
    impossible = (outliers > 0) & (last == 0)
    return np.where(impossible, np.inf, divergence)


def entropy_threshold(counts: Counts, width: float, levels: int = ENTROPY_LEVELS) -> float:
    """The threshold of least divergence, in units of x.

    Args:
        counts: (bins,) counts of |x| without exact zeros, over equal bins that start at 0, not all empty.
        width: of a bin, in units of x.
        levels: number of magnitudes that the quantised type can tell apart; 128 for INT8.
    """
    divergences = entropy_divergences(counts, levels)
    kept = levels + int(np.argmin(divergences))
    return min(kept + 0.5, float(len(counts))) * width


def _cumulative(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """(n + 1,) sums of the first 0, 1, ... n values."""
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))


def _x_log_x(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """x·log x, which tends to 0 at 0."""
    return values * np.log(np.where(values > 0, values, 1.0))
