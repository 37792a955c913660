"""The closed loop on a clock of its own: what is timed, what is not, when it ends, what it leaves behind."""

from __future__ import annotations

import gc

import pytest

from edgefer.benchmark.closed_loop import closed_loop
from edgefer.benchmark.result import Settings
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Aside, Effort, Timeline
from edgefer.errors import UsageError

SETTINGS = Settings(runner="made-up", device="cpu", measured="infer", precision="fp32", threads=1)
RUN = 1 / 64
NO_WARM_UP = Patience(runs=0, seconds=0, most_runs=1)


class Machine:
    """Runs of 1/64 s, exact in binary, except that the one after a look at the machine takes four times as long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.runs = self.looks = 0
        self.cold = False
        self.timeline = Timeline.simulated(lambda: self.now)

    def run(self) -> None:
        self.now += 4 * RUN if self.cold else RUN
        self.cold = False
        self.runs += 1

    def look(self) -> None:
        self.now += 0.25
        self.looks += 1
        self.cold = True


def test_it_runs_for_both_the_runs_and_the_seconds() -> None:
    machine = Machine()
    by_seconds = closed_loop(
        machine.run, settings=SETTINGS, effort=Effort(5, 1.0), patience=NO_WARM_UP, timeline=machine.timeline
    )
    assert by_seconds.latency.count == 64
    by_runs = closed_loop(
        machine.run, settings=SETTINGS, effort=Effort(300, 1.0), patience=NO_WARM_UP, timeline=machine.timeline
    )
    assert by_runs.latency.count == len(by_runs.durations) == len(by_runs.started) == 300
    assert by_runs.durations == pytest.approx([RUN] * 300)
    assert by_runs.latency.median.confidence == 0.95


def test_moments_count_from_the_start_of_the_benchmark() -> None:
    machine = Machine()
    found = closed_loop(machine.run, settings=SETTINGS, effort=Effort(3, 0), timeline=machine.timeline)
    assert found.warm_up.steady
    assert found.started == pytest.approx([found.warm_up.seconds + RUN * index for index in range(3)])


def test_the_limit_ends_it_and_is_said() -> None:
    machine = Machine()
    found = closed_loop(
        machine.run,
        settings=SETTINGS,
        effort=Effort(1000, 0.1, most_seconds=0.5, confidence=0.9),
        patience=NO_WARM_UP,
        timeline=machine.timeline,
    )
    assert found.latency.count == 32
    assert "ended by the limit of 0.5 s after 32 of 1000 runs" in found.settings.note
    assert found.latency.median.confidence == 0.9


def test_what_is_done_beside_is_neither_timed_nor_felt() -> None:
    machine = Machine()
    found = closed_loop(
        machine.run,
        settings=SETTINGS,
        effort=Effort(10, 3.0),
        patience=NO_WARM_UP,
        aside=Aside(machine.look, every=0.5),
        timeline=machine.timeline,
    )
    assert machine.looks == 4
    assert found.durations == pytest.approx([RUN] * len(found.durations))
    assert machine.runs == len(found.durations) + machine.looks + 1  # one after each look, and the warm-up


def test_the_collector_is_paused_inside_and_as_before_afterwards() -> None:
    seen: list[bool] = []
    found = closed_loop(lambda: seen.append(gc.isenabled()), settings=SETTINGS, effort=Effort(3, 0))
    assert seen[-3:] == [False] * 3
    assert gc.isenabled()
    assert found.settings.note == "Python's garbage collector was paused"
    gc.disable()
    try:
        closed_loop(lambda: None, settings=SETTINGS, effort=Effort(1, 0), patience=NO_WARM_UP)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_or_error_comes_through_and_leaves_nothing_paused(error: type[BaseException]) -> None:
    calls: list[int] = []

    def action() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise error

    with pytest.raises(error):
        closed_loop(action, settings=SETTINGS, effort=Effort(100, 0), patience=NO_WARM_UP)
    assert len(calls) == 5
    assert gc.isenabled()


@pytest.mark.parametrize(
    "wrong", [{"runs": 0}, {"seconds": -1.0}, {"seconds": 100.0}, {"confidence": 1.0}, {"most_seconds": float("nan")}]
)
def test_efforts_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="cannot be measured"):
        Effort(**wrong)  # type: ignore[arg-type]
