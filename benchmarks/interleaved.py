"""Timing two ways of doing the same in one run, turn by turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgefer.benchmark import interleaved as in_turn
from edgefer.benchmark.result import Ratio
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort


@dataclass(frozen=True)
class Pair:
    """Medians in seconds: of ours, of the bare equivalent, and of what ours took more than the bare one beside it.

    `compared` is the ratio of the medians with its 99 % interval, once drift common to both is taken out.
    """

    ours: float
    bare: float
    added: float
    compared: Ratio

    @property
    def ratio(self) -> float:
        return self.ours / self.bare


def interleaved(ours: Callable[[], object], bare: Callable[[], object], rounds: int, *, warm_up: int = 3) -> Pair:
    """Run both at least `rounds` times in alternation, each first in every other round."""
    found = in_turn.interleaved(
        {"ours": ours, "bare": bare},
        effort=Effort(rounds, 0, most_seconds=math.inf),
        patience=Patience(runs=0, seconds=0, most_runs=max(1, warm_up)),
    )
    mine, theirs = found.durations["ours"], found.durations["bare"]
    # Differences within a round, because the machine's speed may change between rounds.
    added = float(np.median(mine - theirs))
    return Pair(float(np.median(mine)), float(np.median(theirs)), added, found.ratio("ours", "bare"))
