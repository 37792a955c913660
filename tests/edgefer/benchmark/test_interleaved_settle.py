"""Runs that come before the timed one and are not counted."""

from __future__ import annotations

from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Effort, Timeline


def test_the_first_of_a_turn_pays_and_the_second_counts() -> None:
    now, last, waits = 0.0, "", 0

    def wait(seconds: float) -> None:
        nonlocal now, last, waits
        now, last, waits = now + seconds, "asleep", waits + 1

    def run(name: str) -> None:
        nonlocal now, last
        now, last = now + (0.25 if last == name else 1.0), name

    found = interleaved(
        {"a": lambda: run("a"), "b": lambda: run("b")},
        effort=Effort(4, 0),
        patience=Patience(runs=0, seconds=0, most_runs=1),
        pause=0.5,
        settle=1,
        timeline=Timeline.simulated(lambda: now, wait),
    )
    assert set(found.durations["a"]) == set(found.durations["b"]) == {0.25}
    assert waits == 2 * found.rounds
