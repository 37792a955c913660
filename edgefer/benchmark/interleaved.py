"""Several ways of doing the same, measured in turn, so that whatever else the machine does meets all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefer.benchmark.closed_loop import collector_paused
from edgefer.benchmark.result import Ratio, WarmUp
from edgefer.benchmark.statistics import ratio
from edgefer.benchmark.steady import Patience, warm_up
from edgefer.benchmark.timeline import Action, Aside, Effort, Timeline
from edgefer.errors import UsageError


@dataclass(frozen=True)
class Interleaved:
    """What was measured: for each name its durations in seconds and when they began, (rounds,), and its warm-up.

    `cut` says when the limit came before enough was measured.
    """

    durations: Mapping[str, npt.NDArray[np.float64]]
    started: Mapping[str, npt.NDArray[np.float64]]
    warm_ups: Mapping[str, WarmUp]
    cut: str = ""

    @property
    def rounds(self) -> int:
        """How often each was run."""
        return len(next(iter(self.durations.values())))

    def ratio(self, ours: str, theirs: str, *, confidence: float = 0.99) -> Ratio:
        """The ratio of two medians, paired by round (see `statistics.ratio`)."""
        return ratio(self.durations[ours], self.durations[theirs], paired=True, confidence=confidence)


def interleaved(
    actions: Mapping[str, Action],
    *,
    effort: Effort | None = None,
    patience: Patience | None = None,
    aside: Aside | None = None,
    pause: float = 0.0,
    settle: int = 0,
    timeline: Timeline | None = None,
) -> Interleaved:
    """Warm each up until steady, then run all in rounds, each once a round.

    In every twice as many rounds as there are actions, each is first twice and comes as often before as after each
    other: all rotations of one order are run, each beside its mirror. Within that, the order is drawn by lot, from the
    same seed each time: an order that repeats falls into step with what the machine does at intervals (timers, other
    guests of its host), and then one action meets it every time.

    Args:
        actions: one run of each, by name.
        effort: `runs` is the number of rounds, rounded up to whole cycles of orders; `seconds` is of all together; the
            limit ends it in the middle of a cycle, never in the middle of a round.
        patience: how long to warm up each.
        aside: called between rounds; the round after it is done and not counted, because the call has taken the caches
            from it.
        pause: seconds of sleep before every run. Thread pools go on spinning after their work, for about a millisecond
            or more, and take the processor from whoever comes next; a pause lets them fall asleep first.
        settle: runs of the same before every one that is timed. They bring back what the pause and the others have
            taken (caches, clocks, threads that are awake), so that figures are those of a closed loop.
        timeline: the clock and the moment that `started` counts from.

    Raises:
        UsageError: there are no actions.
    """
    if not actions:
        raise UsageError("there is nothing to measure in turn", hint="give an action for each name")
    wanted, clock = effort or Effort(), timeline or Timeline()
    warm_ups = {name: warm_up(action, patience=patience, timeline=clock) for name, action in actions.items()}
    orders, cycle = _orders(tuple(actions), random.Random(0)), 2 * len(actions)
    begins: dict[str, list[float]] = {name: [] for name in actions}
    durations: dict[str, list[float]] = {name: [] for name in actions}
    now = clock.now

    def one_round(order: Sequence[str], *, counts: bool) -> None:
        for name in order:
            if pause > 0:
                clock.sleep(pause)
            action = actions[name]
            for _ in range(settle):
                action()
            begun = now()
            action()
            ended = now()
            if counts:
                begins[name].append(begun)
                durations[name].append(ended - begun)

    rounds = 0
    with collector_paused():
        begin = called = now()
        while True:
            one_round(next(orders), counts=True)
            rounds += 1
            elapsed = now() - begin
            if elapsed >= wanted.most_seconds or (rounds % cycle == 0 and wanted.enough(rounds, elapsed)):
                break
            if aside is not None and now() - called >= aside.every:
                aside.call()
                one_round(tuple(actions), counts=False)
                called = now()
    return Interleaved(
        {name: np.asarray(values) for name, values in durations.items()},
        {name: np.asarray([clock.since_start(moment) for moment in moments]) for name, moments in begins.items()},
        warm_ups,
        wanted.shortfall(rounds, elapsed),
    )


def _orders(names: Sequence[str], lot: random.Random) -> Iterator[tuple[str, ...]]:
    """The orders of successive rounds: the rotations of an order drawn by lot, each beside its mirror."""
    while True:
        drawn = lot.sample(names, len(names))
        for first in lot.sample(range(len(names)), len(names)):
            rotation = (*drawn[first:], *drawn[:first])
            yield from lot.sample((rotation, rotation[::-1]), 2)
