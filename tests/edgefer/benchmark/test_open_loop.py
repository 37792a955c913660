"""The open loop in simulated time: queueing counts, every frame is accounted for, and a stall is not omitted."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edgefer.benchmark.closed_loop import closed_loop
from edgefer.benchmark.frames import QUEUE_FULL, STILL_WAITING, Camera
from edgefer.benchmark.open_loop import open_loop
from edgefer.benchmark.result import OpenLoop, Settings, WarmUp
from edgefer.benchmark.steady import Patience
from edgefer.benchmark.timeline import Aside, Effort, Timeline
from edgefer.errors import UsageError

SETTINGS = Settings(runner="made-up", device="cpu", measured="infer", precision="fp32", threads=1)
WARM = WarmUp(runs=3, seconds=0.1, steady=True)


class SimulatedTime:
    """A clock that moves only when every worker sleeps, and then to the moment at which the first of them wakes."""

    def __init__(self, workers: int = 1) -> None:
        self.now = 50.0
        self._to_come = workers
        self._seen: set[int] = set()
        self._sleepers: list[tuple[float, int]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self.timeline = Timeline.simulated(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        with self._changed:
            mine = (self.now + seconds, next(self._order))
            self._sleepers.append(mine)
            self._seen.add(threading.get_ident())
            while min(self._sleepers) != mine or len(self._sleepers) < self._awaited():
                self._changed.wait(0.001)  # a worker that ends tells nobody
            self._sleepers.remove(mine)
            self.now = mine[0]
            self._changed.notify_all()

    def _awaited(self) -> int:
        if len(self._seen) < self._to_come:
            return self._to_come
        return sum(thread.ident in self._seen for thread in threading.enumerate())


def simulated(service: Callable[[int], float], camera: Camera, *, streams: int = 1) -> OpenLoop:
    """Workers that take `service(n)` seconds for the nth frame that is begun."""
    time, count = SimulatedTime(streams), itertools.count()

    def work() -> None:
        time.sleep(service(next(count)))

    return open_loop([work] * streams, settings=SETTINGS, camera=camera, warmed=WARM, timeline=time.timeline)


def lost(found: OpenLoop) -> dict[int, str]:
    return {loss.frame: loss.reason for loss in found.losses}


def test_a_service_faster_than_the_frames_has_no_queue() -> None:
    found = simulated(lambda frame: 0.25, Camera(rate=2, seconds=10))
    assert (found.arrivals, found.answered, found.losses) == (20, 20, ())
    assert found.latencies == (0.25,) * 20
    assert found.arrived == tuple(0.5 + 0.5 * frame for frame in range(20))
    assert found.latency is not None
    assert found.latency.count == 20
    assert found.queueing is not None
    assert (found.queueing.maximum, found.longest_queue, found.over_period) == (0, 0, 0)
    assert (found.warm_up, found.rate, found.seconds) == (WARM, 2, 10)
    assert found.settings.note == "a full queue drops the oldest waiting frame"


def stall(run: int) -> float:
    """16 ms a frame but for one of 200 ms, as when something else has the processor."""
    return 0.2 if run == 60 else 0.016


def test_frames_that_arrived_during_a_stall_have_waited_for_it_and_a_closed_loop_does_not_see_them() -> None:
    found = simulated(stall, Camera(rate=32, seconds=5, queue_limit=10))
    assert found.answered == 160
    late = [latency for latency in found.latencies if latency > 0.0165]
    # Frame 60 itself; those behind it come 31.25 ms apart and are worked off at 16 ms each.
    expected, free = [], 0.2
    for behind in itertools.count(1):
        expected.append(free - (behind - 1) / 32)
        if free <= behind / 32:
            break
        free += 0.016
    assert late == pytest.approx(expected)
    assert len(late) == 13
    assert found.longest_queue == 6
    assert found.over_period == sum(latency > 1 / 32 for latency in expected)

    # The same service asked again only when it has answered: one slow run, where a camera had thirteen late frames.
    now, runs = [0.0], itertools.count()

    def work() -> None:
        now[0] += stall(next(runs))

    closed = closed_loop(
        work,
        settings=SETTINGS,
        effort=Effort(159, 0),
        patience=Patience(runs=0, seconds=0, most_runs=1),
        timeline=Timeline.simulated(lambda: now[0]),
    )
    assert sum(duration > 0.0165 for duration in closed.durations) == 1
    assert closed.latency.p95 == pytest.approx(0.016)
    assert found.latency is not None
    assert found.latency.p95 is not None
    assert found.latency.p95 > 0.05
    assert found.service is not None
    assert found.service.p95 == pytest.approx(0.016)


def test_a_full_queue_drops_the_oldest_waiting_frame() -> None:
    found = simulated(lambda run: 1.0 if run == 0 else 0.125, Camera(rate=4, seconds=2, queue_limit=2))
    # Frame 0 takes a second: 1 to 4 arrive in it, of which the queue keeps the newest two.
    assert lost(found) == {1: QUEUE_FULL, 2: QUEUE_FULL}
    assert found.latencies[:3] == pytest.approx((1.0, 0.375, 0.25))
    assert (found.answered, found.arrivals, found.longest_queue) == (6, 8, 2)
    assert [loss.arrived for loss in found.losses] == pytest.approx([0.5, 0.75])


def test_or_the_newest_where_that_is_asked_for() -> None:
    found = simulated(
        lambda run: 1.0 if run == 0 else 0.125, Camera(rate=4, seconds=2, queue_limit=2, full="drop-newest")
    )
    assert lost(found) == {3: QUEUE_FULL, 4: QUEUE_FULL}
    assert "drops the arriving frame" in found.settings.note


def test_without_a_queue_a_frame_needs_a_free_worker() -> None:
    found = simulated(lambda run: 0.375, Camera(rate=4, seconds=3, queue_limit=0))
    assert sorted(lost(found)) == [1, 3, 5, 7, 9, 11]
    assert set(found.latencies) == {0.375}


def test_a_service_too_slow_loses_what_it_cannot_do_and_the_queue_stays_short() -> None:
    found = simulated(lambda run: 0.5, Camera(rate=4, seconds=25, queue_limit=2))
    assert found.arrivals == 100 == found.answered + len(found.losses)
    assert 48 <= found.answered <= 54
    assert set(lost(found).values()) == {QUEUE_FULL}
    assert found.longest_queue == 2
    assert max(found.latencies) <= 3 * 0.5
    assert found.over_period == 100 - len(found.losses)


def test_frames_that_nobody_came_for_in_time_are_accounted_for() -> None:
    found = simulated(lambda run: 10.0, Camera(rate=4, seconds=1, queue_limit=3, grace=1))
    assert (found.answered, found.latencies) == (1, (10.0,))
    assert lost(found) == dict.fromkeys((1, 2, 3), STILL_WAITING)


@pytest.mark.parametrize("streams", [2, 3])
def test_several_workers_share_the_frames(streams: int) -> None:
    found = simulated(lambda run: 0.25 * streams, Camera(rate=4, seconds=10, queue_limit=1), streams=streams)
    assert (found.answered, found.losses) == (40, ())
    assert found.latencies == pytest.approx((0.25 * streams,) * 40)
    too_slow = simulated(lambda run: 0.5 * streams, Camera(rate=4, seconds=10, queue_limit=1), streams=streams)
    assert too_slow.answered + len(too_slow.losses) == 40
    assert 20 <= too_slow.answered <= 20 + 2 * streams


def test_failures_are_losses_with_their_reason_and_the_next_frame_is_taken() -> None:
    time, count = SimulatedTime(), itertools.count()

    def work() -> None:
        time.sleep(0.1)
        if next(count) % 3 == 0:
            raise ValueError("no face")

    found = open_loop([work], settings=SETTINGS, camera=Camera(rate=4, seconds=3), warmed=WARM, timeline=time.timeline)
    assert lost(found) == dict.fromkeys((0, 3, 6, 9), "failed: ValueError: no face")
    assert found.answered == 8


def test_where_every_frame_fails_there_are_no_figures() -> None:
    def work() -> None:
        raise OSError("unplugged")

    time = SimulatedTime()
    found = open_loop([work], settings=SETTINGS, camera=Camera(rate=4, seconds=1), warmed=WARM, timeline=time.timeline)
    assert (found.latency, found.service, found.queueing) == (None, None, None)
    assert len(found.losses) == found.arrivals == 4


@pytest.mark.parametrize("seed", range(3))
def test_bursts_agree_with_a_queue_worked_out_frame_by_frame(seed: int) -> None:
    service = np.random.default_rng(seed).exponential(0.03, 2000)
    found = simulated(lambda run: float(service[run]), Camera(rate=32, seconds=30, queue_limit=2))
    waiting: list[int] = []
    free, run, expected, dropped = 0.0, 0, {}, set()
    for event in range(960 + 1):
        at = event / 32 if event < 960 else np.inf
        while waiting and free <= at:  # the worker is free before this frame arrives
            frame = waiting.pop(0)
            begin = max(free, frame / 32)
            free, run = begin + service[run], run + 1
            expected[frame] = free - frame / 32
        if event < 960:
            waiting.append(event)
            if len(waiting) > 2 and free > at:
                dropped.add(waiting.pop(0))
    assert set(lost(found)) == dropped
    assert dropped
    assert found.latencies == pytest.approx([expected[frame] for frame in sorted(expected)])


def test_ten_minutes_at_thirty_hertz_are_accounted_for() -> None:
    found = simulated(lambda run: 0.2 if run % 700 == 50 else 0.02, Camera(rate=30, seconds=600, queue_limit=2))
    assert found.arrivals == 18_000 == found.answered + len(found.losses)
    assert found.losses
    assert found.latency is not None
    assert found.latency.p999 is not None


def test_real_threads_on_the_real_clock_account_for_every_frame() -> None:
    calls: list[int] = []
    found = open_loop(
        [lambda: None, lambda: None],
        settings=SETTINGS,
        camera=Camera(rate=200, seconds=0.5),
        warmed=WARM,
        aside=Aside(lambda: calls.append(1), every=0.01),
    )
    assert found.answered + len(found.losses) == found.arrivals == 100
    assert found.answered > 0
    assert calls
    assert not any(thread.name.startswith("open-loop-") for thread in threading.enumerate())


def test_an_interrupt_ends_the_workers() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_loop(
            [lambda: None],
            settings=SETTINGS,
            camera=Camera(rate=0.01, seconds=1000),
            warmed=WARM,
            aside=Aside(interrupt, every=0.01),
        )
    assert not any(thread.name.startswith("open-loop-") for thread in threading.enumerate())


def test_a_worker_that_is_told_to_exit_is_not_lost_in_silence() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        open_loop([leave], settings=SETTINGS, camera=Camera(rate=100, seconds=0.1), warmed=WARM)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="no actions"):
        open_loop([], settings=SETTINGS, warmed=WARM)
    for wrong in ({"rate": 0.0}, {"seconds": float("inf")}, {"grace": -1.0}):
        with pytest.raises(UsageError, match="camera"):
            Camera(**wrong)
    for wrong in ({"queue_limit": -1}, {"full": "drop-all"}):
        with pytest.raises(UsageError, match="queue"):
            Camera(**wrong)  # type: ignore[arg-type]
