"""The frames of a camera: when each arrives, which wait, and which are lost to a full queue."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from edgefer.benchmark.timeline import Aside, Timeline
from edgefer.errors import UsageError

QUEUE_FULL = "queue full"
STILL_WAITING = "still waiting at the end"


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


@dataclass(frozen=True)
class Answer:
    """When a frame's work began and ended."""

    frame: int
    began: float
    ended: float


@dataclass
class FrameQueue:
    """The schedule, the frames that wait, and what became of the others."""

    camera: Camera
    first: float
    answers: list[Answer] = field(default_factory=list)
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

    def answer(self, answer: Answer) -> None:
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
