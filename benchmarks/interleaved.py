"""Timing two ways of doing the same in one run, turn by turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Medians in seconds: of ours, of the bare equivalent, and of what ours took more than the bare one beside it."""

    ours: float
    bare: float
    added: float

    @property
    def ratio(self) -> float:
        return self.ours / self.bare


def interleaved(ours: Callable[[], object], bare: Callable[[], object], rounds: int, *, warm_up: int = 3) -> Pair:
    """Run both `rounds` times in alternation, each first in every other round."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for index in range(-warm_up, rounds):
        for is_ours in (True, False) if index % 2 else (False, True):
            action = ours if is_ours else bare
            started = time.perf_counter()
            action()
            elapsed = time.perf_counter() - started
            if index >= 0:
                times[is_ours].append(elapsed)
    # Differences within a round, because the machine's speed may change between rounds.
    added = statistics.median(ours - bare for ours, bare in zip(times[True], times[False], strict=True))
    return Pair(statistics.median(times[True]), statistics.median(times[False]), added)
