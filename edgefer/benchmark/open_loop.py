"""The open loop: frames arrive at a fixed rate, as from a camera, whether or not the last one is answered.

A closed loop asks again only after it was answered: while something stalls it asks nothing, and so it records one slow
run where a camera would have left a queue of late frames behind it. Here the schedule is fixed beforehand, and a
frame's latency counts from when it was due to arrive, so that time spent waiting behind others is in it.

No thread plays the camera. As the arrivals are known, a worker that comes for its next frame works out which have
arrived meanwhile and which of them found the queue full; one that finds none waiting takes the next on the schedule
and sleeps until it is due.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgefer.benchmark.closed_loop import noted
from edgefer.benchmark.result import Latency, Loss, OpenLoop, Settings, WarmUp
from edgefer.benchmark.statistics import latency
from edgefer.benchmark.timeline import Action, Aside, Timeline
from edgefer.errors import UsageError

QUEUE_FULL = "queue full"
STILL_WAITING = "still waiting at the end"

_NAP = 0.1
"""The longest sleep at once, so that an interrupt is answered."""


@dataclass(frozen=True)
class Camera:
    """Frames at a fixed rate, and what becomes of those that nobody has time for.

    Args:
        rate: frames a second.
        seconds: how long they arrive; the number of frames is rate × seconds, rounded, at least one.
        queue_limit: how many may wait. 0: a frame that no worker is free for is lost.
        full: which frame is lost when one arrives at a full queue: "drop-oldest" is what a program does that reacts to
            a driver, because the newest frame says most about now; "drop-newest" keeps the order of arrival.
        grace: seconds after the last arrival in which frames that still wait are begun; later they are lost.
        confidence: of the intervals of the medians.

    Raises:
        UsageError: no camera can be so.
    """

    rate: float = 30.0
    seconds: float = 60.0
    queue_limit: int = 1
    full: Literal["drop-oldest", "drop-newest"] = "drop-oldest"
    grace: float = 1.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        times = (self.rate, self.seconds, self.grace)
        if not all(math.isfinite(value) for value in times) or min(self.rate, self.seconds) <= 0 or self.grace < 0:
            raise UsageError(
                f"a camera of {self.rate:g} frames a second for {self.seconds:g} s and {self.grace:g} s of grace: "
                "expected finite values above 0"
            )
        if self.queue_limit < 0 or self.full not in ("drop-oldest", "drop-newest"):
            raise UsageError(
                f"the queue holds {self.queue_limit} frames and does '{self.full}' when full, expected 0 or more and "
                "'drop-oldest' or 'drop-newest'"
            )

    @property
    def frames(self) -> int:
        """How many frames arrive."""
        return max(1, round(self.rate * self.seconds))


def open_loop(
    actions: Sequence[Action],
    *,
    settings: Settings,
    camera: Camera | None = None,
    warmed: WarmUp,
    aside: Aside | None = None,
    timeline: Timeline | None = None,
) -> OpenLoop:
    """Answer a camera's frames with one thread for each action, and account for every frame.

    A frame whose action raises an exception is lost with that reason, and the next is taken. Python's garbage
    collector runs as it does in an application.

    Args:
        actions: what each worker does with a frame; several workers need several actions, or one that several threads
            may call at once.
        settings: what the actions are; `streams` is expected to be their number.
        camera: the schedule and the queue.
        warmed: what ran before, from `steady.warm_up`; nothing is warmed up here.
        aside: called from the waiting main thread, beside the work: it must cost next to nothing.
        timeline: the clock and the moment that `arrived` counts from.

    Raises:
        UsageError: there are no actions.
        KeyboardInterrupt: as asked for, after the frames that were being answered.
    """
    if not actions:
        raise UsageError("the open loop has no actions", hint="give one for each stream")
    seen, clock = camera or Camera(), timeline or Timeline()
    # One period ahead, in which the threads start.
    queue = _Queue(seen, first=clock.now() + 1 / seen.rate)
    workers = [
        threading.Thread(target=_work, args=(queue, action, clock), name=f"open-loop-{index}", daemon=True)
        for index, action in enumerate(actions)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(_NAP if aside is None else min(_NAP, aside.every))
                if aside is not None:
                    queue.now_and_then(aside, clock)
    finally:
        queue.stop()
        for worker in workers:
            if worker.ident is not None:
                worker.join()
    if queue.broken is not None:
        raise queue.broken
    return _report(queue, settings, warmed, clock)


@dataclass(frozen=True)
class _Answer:
    """When a frame's work began and ended."""

    frame: int
    began: float
    ended: float


@dataclass
class _Queue:
    """The schedule, the frames that wait, and what became of the others."""

    camera: Camera
    first: float
    answers: list[_Answer] = field(default_factory=list)
    losses: list[tuple[int, str]] = field(default_factory=list)
    longest: int = 0
    broken: BaseException | None = None
    _waiting: deque[int] = field(default_factory=deque)
    _next: int = 0
    _stopped: bool = False
    _called: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, frame: int) -> float:
        """When a frame arrives. From the first one, so that no rounding adds up over the frames."""
        return self.first + frame / self.camera.rate

    def take(self, now: float) -> int | None:
        """The frame to work on next, which may not be due yet; None when there are no more."""
        with self._lock:
            if self._stopped:
                return None
            self._admit(now)
            self.longest = max(self.longest, len(self._waiting))
            if now > self.due(self.camera.frames - 1) + self.camera.grace:
                self._lose_waiting()
                return None
            if self._waiting:
                return self._waiting.popleft()
            if self._next < self.camera.frames:
                self._next += 1
                return self._next - 1
            return None

    def answer(self, answer: _Answer) -> None:
        with self._lock:
            self.answers.append(answer)

    def lose(self, frame: int, reason: str) -> None:
        with self._lock:
            self.losses.append((frame, reason))

    def stop(self, broken: BaseException | None = None) -> None:
        """Hand out no more frames."""
        with self._lock:
            self._stopped = True
            self.broken = self.broken or broken

    @property
    def stopped(self) -> bool:
        return self._stopped

    def now_and_then(self, aside: Aside, clock: Timeline) -> None:
        """Call what is to be done beside, when its time has come."""
        if clock.now() - self._called >= aside.every:
            aside.call()
            self._called = clock.now()

    def _admit(self, now: float) -> None:
        while self._next < self.camera.frames and self.due(self._next) <= now:
            if len(self._waiting) < self.camera.queue_limit:
                self._waiting.append(self._next)
            elif self.camera.full == "drop-oldest" and self._waiting:
                self.losses.append((self._waiting.popleft(), QUEUE_FULL))
                self._waiting.append(self._next)
            else:
                self.losses.append((self._next, QUEUE_FULL))
            self._next += 1

    def _lose_waiting(self) -> None:
        self.losses.extend((frame, STILL_WAITING) for frame in self._waiting)
        self._waiting.clear()


def _work(queue: _Queue, action: Action, clock: Timeline) -> None:
    try:
        while (frame := queue.take(clock.now())) is not None:
            due = queue.due(frame)
            while (left := due - clock.now()) > 0:
                if queue.stopped:
                    return
                clock.sleep(min(left, _NAP))
            began = clock.now()
            try:
                action()
            except Exception as error:
                queue.lose(frame, f"failed: {type(error).__name__}: {error}")
            else:
                queue.answer(_Answer(frame, began, clock.now()))
    except BaseException as error:  # of the clock or of SystemExit in an action: it is raised where it can be seen
        queue.stop(error)


def _report(queue: _Queue, settings: Settings, warmed: WarmUp, clock: Timeline) -> OpenLoop:
    camera = queue.camera
    answers = sorted(queue.answers, key=lambda answer: answer.frame)
    losses = sorted(queue.losses)
    accounted = sorted([answer.frame for answer in answers] + [frame for frame, _ in losses])
    if accounted != list(range(camera.frames)):
        raise RuntimeError(f"{camera.frames} frames arrived, {len(answers)} were answered and {len(losses)} lost")
    # A clock may say that work began a rounding error before its frame was due.
    waits = [max(0.0, answer.began - queue.due(answer.frame)) for answer in answers]
    latencies = [max(0.0, answer.ended - queue.due(answer.frame)) for answer in answers]

    def figures(durations: list[float]) -> Latency | None:
        return latency(durations, confidence=camera.confidence) if durations else None

    policy = "the oldest waiting frame" if camera.full == "drop-oldest" else "the arriving frame"
    return OpenLoop(
        settings=noted(settings, f"a full queue drops {policy}"),
        warm_up=warmed,
        rate=camera.rate,
        seconds=camera.frames / camera.rate,
        queue_limit=camera.queue_limit,
        arrivals=camera.frames,
        answered=len(answers),
        losses=tuple(
            Loss(frame=frame, arrived=clock.since_start(queue.due(frame)), reason=reason) for frame, reason in losses
        ),
        longest_queue=queue.longest,
        latency=figures(latencies),
        service=figures([answer.ended - answer.began for answer in answers]),
        queueing=figures(waits),
        over_period=sum(duration > 1 / camera.rate for duration in latencies),
        arrived=tuple(clock.since_start(queue.due(answer.frame)) for answer in answers),
        latencies=tuple(latencies),
    )
