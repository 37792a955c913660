"""Warming up until the median stands still: caches, lazy allocations, clocks that rise with load.

The test is Pettitt's for one change-point at an unknown place (Applied Statistics 28, 1979): the Mann-Whitney statistic
of the runs before against those after, at the place where it is greatest. It is of ranks, so that it sees a shift of
the median and not the outliers that every machine has, and it assumes no distribution. It is applied to the later half
of the runs so far, so that a beginning of any shape is left behind as the warm-up grows. Durations are correlated,
which makes such tests find changes that are real and tiny; a change also counts only above a share of the median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefer.benchmark.result import WarmUp
from edgefer.benchmark.timeline import Action, Timeline
from edgefer.errors import InputError, UsageError

SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class ChangePoint:
    """The likeliest place of a change: the first run after it, how likely chance makes one as clear, both medians."""

    index: int
    probability: float
    before: float
    after: float

    @property
    def shift(self) -> float:
        """The change of the median as a share of the later one; infinite where that is zero."""
        if self.before == self.after:
            return 0.0
        return abs(self.after - self.before) / self.after if self.after > 0 else math.inf


def change_point(durations: Sequence[float] | npt.NDArray[np.float64]) -> ChangePoint:
    """The likeliest change of the median in a series, by Pettitt's test.

    Raises:
        InputError: there are fewer than two durations.
    """
    values = np.asarray(durations, np.float64)
    count = len(values)
    if count < 2:
        raise InputError(f"a change needs two durations or more, there are {count}")
    # U(t) = sum over i <= t < j of sign(x_i - x_j) = 2 (sum of the first t mid-ranks) - t (n + 1)
    steps = np.arange(1, count)
    statistic = 2 * np.cumsum(_mid_ranks(values))[:-1] - steps * (count + 1)
    place = int(np.argmax(np.abs(statistic))) + 1
    greatest = float(np.abs(statistic[place - 1]))
    probability = min(1.0, 2 * math.exp(-6 * greatest**2 / (count**3 + count**2)))
    return ChangePoint(place, probability, float(np.median(values[:place])), float(np.median(values[place:])))


@dataclass(frozen=True)
class Patience:
    """When a warm-up may end and when it must.

    Args:
        runs: never fewer. Below about 40 the test, which sees half of them, cannot tell a change from chance.
        seconds: never shorter: a processor takes some tenths of a second to raise its clock, whatever it runs.
        most_runs: the limit in runs.
        most_seconds: the limit in seconds; one run that takes longer is still waited for.
        shift: the change of the median, as a share, that still counts as standing still.
    """

    runs: int = 40
    seconds: float = 0.3
    most_runs: int = 100_000
    most_seconds: float = 20.0
    shift: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.runs <= self.most_runs or not 0 <= self.seconds <= self.most_seconds or self.most_runs < 1:
            raise UsageError(
                f"a warm-up of at least {self.runs} runs and {self.seconds:g} s, and at most {self.most_runs} runs and "
                f"{self.most_seconds:g} s, cannot be",
                hint="the least must not be above the most",
            )


def warm_up(action: Action, *, patience: Patience | None = None, timeline: Timeline | None = None) -> WarmUp:
    """Run something until its median stands still, or until the limit, which `limit` then names with what still moved.

    Args:
        action: one run; its value is dropped. Whatever it raises comes through.
        patience: the limits; as in `Patience` where None.
        timeline: the clock; the machine's where None.
    """
    allowed, clock = patience or Patience(), timeline or Timeline()
    durations: list[float] = []
    started = clock.now()
    next_test = max(allowed.runs, 4)
    moved = f"in fewer than {next_test} runs nothing can be said"
    while True:
        begun = clock.now()
        action()
        ended = clock.now()
        durations.append(ended - begun)
        runs, seconds = len(durations), ended - started
        if runs >= next_test and seconds >= allowed.seconds:
            # Each test is passed by chance now and then: they come at growing distances, so that there are few.
            next_test = math.ceil(1.25 * runs)
            found = change_point(durations[runs // 2 :])
            if found.probability >= SIGNIFICANCE or found.shift <= allowed.shift:
                return WarmUp(runs=runs, seconds=seconds, steady=True)
            moved = f"the median still moved by {100 * found.shift:.1f} % at run {runs // 2 + found.index}"
        if runs >= allowed.most_runs:
            return WarmUp(runs=runs, seconds=seconds, steady=False, limit=f"{allowed.most_runs} runs: {moved}")
        if seconds >= allowed.most_seconds:
            return WarmUp(runs=runs, seconds=seconds, steady=False, limit=f"{allowed.most_seconds:g} s: {moved}")


def _mid_ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1, those of equal values averaged: a coarse clock gives many equal ones."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: npt.NDArray[np.float64] = (last - counts + 1 + last) / 2
    return middle[inverse]
