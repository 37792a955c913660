"""Measuring in turn: the order, what is counted, and that what the machine does meets all alike."""

from __future__ import annotations

import gc
import itertools
import math

import pytest

from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Aside, Effort, Timeline
from edgefer.errors import UsageError

NO_WARM_UP = Patience(runs=0, seconds=0, most_runs=1)


class Machine:
    """Notes the order of what runs, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []
        self.timeline = Timeline.simulated(lambda: self.now, self.wait)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def runs(self, name: str, seconds: float) -> None:
        self.ran.append(name)
        self.now += seconds


def actions(machine: Machine, **seconds: float):  # type: ignore[no-untyped-def]
    return {name: lambda name=name, each=each: machine.runs(name, each) for name, each in seconds.items()}


def test_two_alternate_and_each_is_first_equally_often() -> None:
    machine = Machine()
    found = interleaved(
        actions(machine, a=0.25, b=0.5), effort=Effort(6, 0), patience=NO_WARM_UP, timeline=machine.timeline
    )
    assert found.rounds == 8  # two cycles of four
    rounds = ["".join(machine.ran[index : index + 2]) for index in range(2, 18, 2)]
    for index in range(0, 8, 2):
        assert sorted(rounds[index : index + 2]) == ["ab", "ba"]
    assert found.durations["a"].tolist() == [0.25] * 8
    assert found.durations["b"].tolist() == [0.5] * 8
    begins = [0.75 + 0.75 * index + (0.5 if order == "ba" else 0.0) for index, order in enumerate(rounds)]
    assert found.started["a"].tolist() == begins
    assert set(found.warm_ups) == {"a", "b"}
    assert found.cut == ""
    assert gc.isenabled()


def test_among_several_each_is_as_often_in_each_place_and_before_each_other() -> None:
    machine = Machine()
    names = "abcd"
    interleaved(
        actions(machine, **dict.fromkeys(names, 1.0)), effort=Effort(8, 0), patience=NO_WARM_UP,
        timeline=machine.timeline,
    )  # fmt: skip
    ran = "".join(machine.ran[4:])
    rounds = [ran[index : index + 4] for index in range(0, len(ran), 4)]
    assert len(rounds) == 8
    for place, name in itertools.product(range(4), names):
        assert sum(order[place] == name for order in rounds) == 2
    for one, other in itertools.permutations(names, 2):
        assert sum(order.index(one) < order.index(other) for order in rounds) == 4


def test_the_order_falls_into_step_with_nothing() -> None:
    """Every eighth run meets an interruption, as of a timer; in an order that repeats it would be of the same one."""
    for period in (3, 4, 5, 6, 7, 8, 12, 16):
        machine, count = Machine(), itertools.count()

        def work(machine: Machine = machine, count: itertools.count[int] = count, period: int = period) -> None:
            machine.now += 0.0112 if next(count) % period == 0 else 0.01

        found = interleaved(
            {"ours": work, "theirs": work}, effort=Effort(400, 0), patience=NO_WARM_UP, timeline=machine.timeline
        )
        met = [sum(found.durations[name] > 0.011) for name in ("ours", "theirs")]
        assert abs(met[0] - met[1]) < 0.35 * sum(met), period


def test_drift_of_the_machine_cancels() -> None:
    machine = Machine()

    def work(seconds: float) -> None:
        machine.now += seconds * (1.5 + math.sin(machine.now / 7))

    found = interleaved(
        {"ours": lambda: work(0.0103), "theirs": lambda: work(0.01)},
        effort=Effort(200, 0),
        patience=NO_WARM_UP,
        timeline=machine.timeline,
    )
    ratio = found.ratio("ours", "theirs")
    assert ratio.verdict == "slower"
    assert ratio.value == pytest.approx(1.03, abs=0.005)


def test_the_limit_ends_it_after_a_whole_round_and_is_said() -> None:
    machine = Machine()
    found = interleaved(
        actions(machine, a=1.0, b=1.0),
        effort=Effort(100, 1.0, most_seconds=5),
        patience=NO_WARM_UP,
        timeline=machine.timeline,
    )
    assert {name: len(values) for name, values in found.durations.items()} == {"a": 3, "b": 3}
    assert found.cut == "ended by the limit of 5 s after 3 of 100 runs"


def test_pauses_and_looks_at_the_machine_are_not_counted() -> None:
    machine, looks = Machine(), []
    found = interleaved(
        actions(machine, a=0.25, b=0.25),
        effort=Effort(8, 0),
        patience=NO_WARM_UP,
        aside=Aside(lambda: looks.append(machine.now), every=4.0),
        pause=0.5,
        timeline=machine.timeline,
    )
    assert found.durations["a"].tolist() == [0.25] * 8
    assert len(looks) == 2
    assert len(machine.ran) == 2 * (1 + 8 + len(looks))
    assert machine.now == len(machine.ran) * 0.75 - 2 * 0.5  # no pauses while warming up


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        interleaved({})
