"""Measurements in figures: medians with intervals that respect how neighbours depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.gpu_check.gpu import Gpu
from benchmarks.gpu_check.result import Figure
from edgefer.benchmark.interleaved import Interleaved, interleaved
from edgefer.benchmark.resampling import Floats, block_length, ends, ranks, replicates
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Action, Effort, Timeline
from edgefer.errors import InputError

CONFIDENCE = 0.95
_MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Care:
    """How much is measured: `rounds` of every action in turn, each repeating its work `repeats` times."""

    rounds: int = 60
    repeats: int = 20
    warm_ups: int = 10


def figure(values: npt.ArrayLike) -> Figure:
    """The median of a series and its interval. Unlike durations, values may be negative: differences can be.

    Raises:
        InputError: there are none, or one is not finite.
    """
    series: Floats = np.asarray(values, np.float64)
    if series.ndim != 1 or not len(series) or not np.isfinite(series).all():
        raise InputError(f"{series.size} values of the shape {series.shape} have no median, expected finite ones")
    median, least, most = float(np.median(series)), float(series.min()), float(series.max())
    low, high = least, most
    # The median lies outside of the range of n values with a chance of 2^(1-n).
    if 1 - 2.0 ** (1 - len(series)) >= CONFIDENCE:
        length = block_length(ranks(series))
        found = replicates(len(series), length, lambda drawn: np.asarray(np.median(series[drawn], axis=1)))
        low, high = ends(median, found, CONFIDENCE, len(series) / length)
    quarter, three_quarters = np.quantile(series, [0.25, 0.75])
    return Figure(
        count=len(series),
        median=median,
        low=max(low, least),
        high=min(high, most),
        quarter=float(quarter),
        three_quarters=float(three_quarters),
    )


def in_turn(gpu: Gpu, actions: Mapping[str, Action], care: Care) -> Interleaved:
    """All actions in rounds, timed by the GPU's clock: each call adds to `gpu.seconds` what it took."""
    return interleaved(
        actions,
        effort=Effort(runs=care.rounds, seconds=0.0, most_seconds=_MOST_SECONDS),
        patience=Patience(runs=care.warm_ups, seconds=0.0, most_runs=4 * care.warm_ups),
        timeline=Timeline.simulated(gpu.now),
    )


def added(measured: Interleaved, longer: str, shorter: str, count: int) -> Floats:
    """What each of the `count` things costs by which one action is longer than another, round by round."""
    return np.asarray((measured.durations[longer] - measured.durations[shorter]) / count)
