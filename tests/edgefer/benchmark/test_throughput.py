"""Throughput: images of all streams over the time in which all were busy."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edgefer.benchmark.result import Settings
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.throughput import Streams, sweep, throughput
from edgefer.benchmark.timeline import Effort, Timeline
from edgefer.errors import UsageError

NO_WARM_UP = Patience(runs=0, seconds=0, most_runs=1)


def settings(batch: int = 1, streams: int = 1) -> Settings:
    return Settings(
        runner="made-up", device="cpu", measured="infer", precision="fp32", threads=1, batch=batch, streams=streams
    )


class Clock:
    """A time for each thread, so that streams run beside each other and none waits for another."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self.timeline = Timeline.simulated(self.now)

    def now(self) -> float:
        return getattr(self._mine, "now", 10.0)

    def work(self, seconds: float) -> None:
        self._mine.now = self.now() + seconds


def test_one_stream_by_hand() -> None:
    clock = Clock()
    found = throughput(
        [lambda: clock.work(0.125)],
        settings=settings(batch=4),
        effort=Effort(10, 5.0),
        patience=NO_WARM_UP,
        timeline=clock.timeline,
    )
    assert (found.images, found.seconds) == (160, 5.0)
    assert found.rate == pytest.approx(32)
    assert (found.interval.low, found.interval.high) == pytest.approx((32, 32))
    assert found.latency.count == 40
    assert found.latency.p50 == 0.125


def test_streams_add_up_over_the_time_in_which_all_were_busy() -> None:
    clock = Clock()
    found = throughput(
        [lambda: clock.work(0.25), lambda: clock.work(0.75)],
        settings=settings(batch=3, streams=2),
        effort=Effort(10, 2.0),
        patience=NO_WARM_UP,
        timeline=clock.timeline,
    )
    # The first ends after ten runs in 2.5 s, in which the second has done three and a third.
    assert found.seconds == 2.5
    assert found.rate == pytest.approx(3 / 0.25 + 3 / 0.75)
    assert found.images == 3 * (10 + 3)
    assert found.latency.count == 20


def test_the_interval_covers_the_rate_of_an_uneven_stream() -> None:
    clock, generator = Clock(), np.random.default_rng(0)
    found = throughput(
        [lambda: clock.work(float(0.01 * generator.lognormal(sigma=0.3)))],
        settings=settings(),
        effort=Effort(10, 30.0),
        patience=NO_WARM_UP,
        timeline=clock.timeline,
    )
    true = 1 / (0.01 * np.exp(0.3**2 / 2))
    assert found.interval.low < true < found.interval.high
    assert (found.interval.high - found.interval.low) / found.rate < 0.05


def test_the_limit_is_said() -> None:
    clock = Clock()
    found = throughput(
        [lambda: clock.work(1.0)],
        settings=settings(),
        effort=Effort(100, 1.0, most_seconds=5),
        patience=NO_WARM_UP,
        timeline=clock.timeline,
    )
    assert "ended by the limit of 5 s after 5 of 100 runs" in found.settings.note
    assert "collector was paused" in found.settings.note


def test_a_sweep_opens_and_closes_each_point() -> None:
    clock, events = Clock(), []

    @contextmanager
    def opened(batch: int, streams: int) -> Iterator[Streams]:
        events.append(("open", batch, streams))
        yield settings(batch, streams), [lambda: clock.work(0.1 + 0.1 * batch)] * streams
        events.append(("close", batch, streams))

    found = sweep((1, 4), (1, 2), opened, effort=Effort(5, 1.0), patience=NO_WARM_UP, timeline=clock.timeline)
    assert [(point.settings.batch, point.settings.streams) for point in found] == [(1, 1), (1, 2), (4, 1), (4, 2)]
    assert [point.rate for point in found] == pytest.approx([5, 10, 8, 16])
    assert events == [(what, *point) for point in itertools.product((1, 4), (1, 2)) for what in ("open", "close")]


def test_an_error_in_one_stream_ends_all_and_comes_through() -> None:
    calls = itertools.count()

    def fail() -> None:
        if next(calls) == 3:
            raise ValueError("lost the device")

    with pytest.raises(ValueError, match="lost the device"):
        throughput([fail, lambda: None], settings=settings(streams=2), effort=Effort(10, 30.0), patience=NO_WARM_UP)
    assert gc.isenabled()
    assert not any(thread.name.startswith("throughput-") for thread in threading.enumerate())


def test_real_threads_on_the_real_clock() -> None:
    found = throughput(
        [lambda: sum(range(1000))] * 2, settings=settings(streams=2), effort=Effort(10, 0.2), patience=NO_WARM_UP
    )
    assert found.interval.low <= found.rate <= found.interval.high
    assert found.latency.count >= 20


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="1 actions for 2 streams"):
        throughput([lambda: None], settings=settings(streams=2))
    with pytest.raises(UsageError, match="0 actions"):
        throughput([], settings=settings(streams=0))
