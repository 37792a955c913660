"""How fast memory grows while the same thing is done over and over: a straight line through samples of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgefer.benchmark.resampling import Floats, Indices, block_length, ends, replicates
from edgefer.errors import InputError

LEAST_SAMPLES = 8
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Growth:
    """Bytes that one more run takes, by least squares, with its interval; `first` and `last` are where the line begins
    and ends, in bytes, and `spread` is the largest distance of a sample from it."""

    samples: int
    runs: int
    per_run: float
    low: float
    high: float
    first: float
    last: float
    spread: float

    def text(self, runs: int = 100_000) -> str:
        """`-3 KiB per 100,000 runs (-12 to 5), 180 samples over 180,000 runs`."""
        each, low, high = (round(value * runs / 1024) for value in (self.per_run, self.low, self.high))
        return f"{each} KiB per {runs:,} runs ({low} to {high}), {self.samples} samples over {self.runs:,} runs"


def growth(runs: Sequence[int], sizes: Sequence[int]) -> Growth:
    """The line through `sizes` in bytes, each read after so many `runs`.

    Memory comes in steps, so that a sample says what its neighbours do: the interval draws the distances from the line
    in blocks (see `edgefer.benchmark.resampling`). It is of 95 %.

    Raises:
        InputError: fewer than eight samples, or not as many of both, or all after the same number of runs.
    """
    x, y = np.asarray(runs, np.float64), np.asarray(sizes, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < LEAST_SAMPLES or not np.ptp(x):
        raise InputError(
            f"{x.size} counts and {y.size} sizes make no line, expected as many of both, {LEAST_SAMPLES} or more, at "
            "different counts"
        )
    centred = x - x.mean()
    weights: Floats = centred / float(centred @ centred)
    slope = float(weights @ y)
    line = y.mean() + slope * centred
    left: Floats = y - line

    def refitted(drawn: Indices) -> Floats:
        return np.asarray(slope + left[drawn] @ weights)

    length = block_length(left)
    low, high = ends(slope, replicates(len(x), length, refitted), CONFIDENCE, len(x) / length)
    return Growth(
        samples=len(x),
        runs=int(np.ptp(x)),
        per_run=slope,
        low=low,
        high=high,
        first=float(line[0]),
        last=float(line[-1]),
        spread=float(np.abs(left).max()),
    )
