"""Series cut down to what a picture can show, without losing an extreme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Envelope:
    """Of each slice of time: its middle, and the smallest, median and largest value in it."""

    at: Array
    low: Array
    middle: Array
    high: Array


def envelope(at: Sequence[float], values: Sequence[float], slices: int) -> Envelope:
    """The series in at most `slices` slices of equal duration; those without a value are left out.

    Args:
        at: moments, ascending.
        values: as many as `at`.
        slices: 1 or more.
    """
    moments, series = np.asarray(at, dtype=float), np.asarray(values, dtype=float)
    if not len(moments):
        empty = np.empty(0)
        return Envelope(empty, empty, empty, empty)
    edges = np.linspace(moments[0], moments[-1], slices + 1)
    index = np.clip(np.searchsorted(edges, moments, side="right") - 1, 0, slices - 1)
    filled = np.unique(index)
    parts = [series[index == each] for each in filled]
    return Envelope(
        at=(edges[filled] + edges[filled + 1]) / 2,
        low=np.array([part.min() for part in parts]),
        middle=np.array([np.median(part) for part in parts]),
        high=np.array([part.max() for part in parts]),
    )


def bins(values: Sequence[float], count: int, logarithmic: bool = False) -> tuple[Array, Array]:
    """How many values fall into each of `count` bins from the smallest to the largest, and the edges of those."""
    series = np.asarray(values, dtype=float)
    low, high = float(series.min()), float(series.max())
    if low == high:
        low, high = low * 0.99, high * 1.01 if high else 1.0
    edges = np.geomspace(low, high, count + 1) if logarithmic and low > 0 else np.linspace(low, high, count + 1)
    edges[0], edges[-1] = min(low, edges[0]), max(high, edges[-1])
    counts, _ = np.histogram(series, edges)
    return counts.astype(float), edges


def tail(values: Sequence[float]) -> tuple[Array, Array]:
    """One over the share of values that are larger, and the value: where a share of 1 in x begins.

    A share is not told from fewer than one value, so that the last point is the largest value at x = count.
    """
    series = np.sort(np.asarray(values, dtype=float))
    count = len(series)
    over = count / (count - np.arange(count))
    return over, series
