"""Reading beside a run, with a clock that the test moves."""

from __future__ import annotations

import threading

import pytest

from edgefer.benchmark.sampler import Sampler


class Clock:
    """Time that passes when told, and a wait that tells it to; after `waits` of them the thread is held."""

    def __init__(self, waits: int) -> None:
        self.time = 100.0
        self.slept: list[float] = []
        self.waits = waits
        self.idle = threading.Event()
        self.release = threading.Event()

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        if len(self.slept) == self.waits:
            self.idle.set()
            assert self.release.wait(10)
            return
        self.slept.append(seconds)
        self.time += seconds


def run(sampler: Sampler[float], clock: Clock) -> None:
    sampler.start()
    assert clock.idle.wait(10)
    stopper = threading.Thread(target=sampler.stop)
    stopper.start()
    while not sampler._end.is_set():
        stopper.join(0.001)
    clock.release.set()
    stopper.join(10)
    assert not stopper.is_alive()


def test_readings_come_at_the_rate_with_one_at_each_end() -> None:
    clock = Clock(waits=3)
    sampler = Sampler(lambda at: at * 2, rate=10, now=clock.now, wait=clock.wait)
    run(sampler, clock)
    assert [at for at, _ in sampler.samples] == pytest.approx([100.0, 100.1, 100.2, 100.3, 100.3])
    assert [value for _, value in sampler.samples] == pytest.approx([200.0, 200.2, 200.4, 200.6, 200.6])
    assert sampler.problem == ""


def test_a_reading_is_dated_to_its_middle_and_its_cost_is_known() -> None:
    clock = Clock(waits=2)

    def slow(at: float) -> float:
        clock.time += 0.04
        return 1.0

    sampler = Sampler(slow, rate=10, now=clock.now, wait=clock.wait)
    run(sampler, clock)
    assert sampler.cost == pytest.approx(0.04)
    assert [at for at, _ in sampler.samples[:3]] == pytest.approx([100.02, 100.16, 100.26])
    assert clock.slept == pytest.approx([0.1, 0.06])


def test_readings_that_take_longer_than_the_period_are_not_made_up_for() -> None:
    clock = Clock(waits=3)

    def slow(at: float) -> float:
        clock.time += 0.25
        return 1.0

    sampler = Sampler(slow, rate=10, now=clock.now, wait=clock.wait)
    run(sampler, clock)
    assert clock.slept == pytest.approx([0.1, 0.0, 0.0])


def test_a_reading_that_fails_ends_the_sampling_and_keeps_what_came_before() -> None:
    failed = threading.Event()
    readings = iter([1.0, 2.0])

    def read(at: float) -> float:
        try:
            return next(readings)
        except StopIteration:
            failed.set()
            raise OSError("the sensor has gone") from None

    with Sampler(read, rate=1000, now=lambda: 7.0, wait=lambda seconds: None) as sampler:
        assert failed.wait(10)
    assert [value for _, value in sampler.samples] == [1.0, 2.0]
    assert "7.0 s into the run: the sensor has gone" in sampler.problem


def test_a_first_reading_that_fails_does_not_stop_the_run() -> None:
    def read(at: float) -> float:
        raise RuntimeError

    with Sampler(read, rate=10, now=lambda: 0.0) as sampler:
        pass
    assert sampler.samples == ()
    assert "RuntimeError" in sampler.problem
    assert sampler.cost == 0.0


def test_the_thread_is_gone_when_the_run_raises() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="the run"), Sampler(lambda at: at, rate=5, now=lambda: 0.0):
        raise ValueError("the run")
    assert threading.active_count() == before


def test_a_sampler_starts_once_and_may_be_stopped_twice() -> None:
    sampler = Sampler(lambda at: at, rate=5, now=lambda: 0.0)
    sampler.start()
    with pytest.raises(RuntimeError):
        sampler.start()
    sampler.stop()
    sampler.stop()
    assert len(sampler.samples) == 2


def test_a_rate_is_positive() -> None:
    with pytest.raises(ValueError, match="more than none"):
        Sampler(lambda at: at, rate=0, now=lambda: 0.0)
