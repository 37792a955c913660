"""Timing two ways of doing the same in one run, turn by turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.benchmark import interleaved as rounds_in_turn
from edgefer.benchmark.result import Ratio
from edgefer.benchmark.statistics import ratio
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort

CONFIDENCE = 0.99
"""Of the interval of every ratio. With some forty of them in a table, 0.95 would be wrong about two each time."""


@dataclass(frozen=True)
class Pair:
    """Medians in seconds: of ours, of the bare equivalent, and of what ours took more than the bare one beside it.

    `compared` is the ratio of the medians with its interval, once drift common to both is taken out. Of fewer than
    eight rounds, which are too few for the confidence, the interval holds every ratio that could be made of them.
    """

    ours: float
    bare: float
    added: float
    rounds: int
    compared: Ratio

    @staticmethod
    def of(ours: Sequence[float], bare: Sequence[float]) -> Pair:
        """Of the seconds that both took, one of each a round."""
        mine, theirs = np.asarray(ours, np.float64), np.asarray(bare, np.float64)
        # Differences within a round, because the machine's speed may change between rounds.
        added = float(np.median(mine - theirs))
        compared = ratio(mine, theirs, paired=True, confidence=CONFIDENCE)
        return Pair(float(np.median(mine)), float(np.median(theirs)), added, len(mine), compared)

    @property
    def ratio(self) -> float:
        return self.compared.value


def interleaved(ours: Callable[[], object], bare: Callable[[], object], rounds: int, *, warm_up: int = 3) -> Pair:
    """Run both at least `rounds` times in alternation, each first in every other round."""
    found = rounds_in_turn.interleaved(
        {"ours": ours, "bare": bare},
        effort=Effort(rounds, 0, most_seconds=math.inf),
        patience=Patience(runs=0, seconds=0, most_runs=max(1, warm_up)),
    )
    return Pair.of(found.durations["ours"], found.durations["bare"])


def in_turn(benchmark: Any, ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> Pair:
    """The same for what takes seconds: without warm-up, and pytest-benchmark's own rounds are the rounds, the bare one
    before each, so that nothing runs only to be shown to it."""
    ours_seconds: list[float] = []
    bare_seconds: list[float] = []

    def before() -> None:
        bare_seconds.append(timed(bare))

    benchmark.pedantic(lambda: ours_seconds.append(timed(ours)), setup=before, rounds=rounds, iterations=1)
    return Pair.of(ours_seconds, bare_seconds)


def timed(action: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
