"""Histogram of the magnitudes of one tensor over a whole calibration, in constant memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Fine enough that a percentile is read to 1/32768 of the largest magnitude; folded to what the entropy method takes.
HISTOGRAM_BINS = 32768

Counts = npt.NDArray[np.int64]


class Histogram:
    """Counts of |x| in `bins` equal bins over [0, amax]; bin k holds k ≤ |x| / width < k + 1, the last also amax.

    Attributes:
        counts: (bins,) int64, zeros included.
        zeros: how many values were exactly 0 (all of them in bin 0).
    """

    def __init__(self, amax: float, bins: int = HISTOGRAM_BINS) -> None:
        if not amax > 0:
            raise ValueError(f"a histogram needs a positive range, not {amax}")
        self.amax = amax
        self.counts: Counts = np.zeros(bins, np.int64)
        self.zeros = 0

    @property
    def width(self) -> float:
        """Width of a bin, in units of x."""
        return self.amax / len(self.counts)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count all elements of a finite float32 array of any shape; magnitudes above amax go into the last bin."""
        bins = len(self.counts)
        # One reused buffer and truncation by casting: np.histogram takes ten times as long.
        scaled = np.multiply(values, np.float32(bins / self.amax)).ravel()
        np.abs(scaled, out=scaled)
        np.minimum(scaled, np.float32(bins - 1), out=scaled)
        self.counts += np.bincount(scaled.astype(np.intp), minlength=bins)
        self.zeros += values.size - int(np.count_nonzero(values))

    def folded(self, bins: int) -> Counts:
        """The counts in `bins` wider bins; `bins` divides the number of bins."""
        folded: Counts = self.counts.reshape(bins, -1).sum(axis=1)
        return folded

    def share_above(self, threshold: float) -> float:
        """Share of the values whose bin lies wholly above `threshold`."""
        first = int(np.ceil(threshold / self.width))
        return float(self.counts[first:].sum() / self.counts.sum())
