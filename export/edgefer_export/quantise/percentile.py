"""The threshold that a given percentage of the magnitudes does not exceed."""

from __future__ import annotations

import numpy as np

from edgefer_export.quantise.histogram import Counts


def percentile_threshold(counts: Counts, width: float, percentile: float) -> float:
    """Read a percentile from a histogram of |x|, exact zeros included, interpolating linearly within a bin.

    Args:
        counts: (bins,) counts over equal bins that start at 0.
        width: of a bin, in units of x.
        percentile: in percent, above 0 and at most 100.

    Returns:
        The threshold, in units of x, within one `width` of the percentile of the values themselves.
    """
    cumulative = np.cumsum(counts)
    target = cumulative[-1] * (percentile / 100)
    index = int(np.searchsorted(cumulative, target))
    index = min(index, len(counts) - 1)
    below = cumulative[index] - counts[index]
    inside = (target - below) / counts[index] if counts[index] else 0.0
    return float(width * (index + inside))
