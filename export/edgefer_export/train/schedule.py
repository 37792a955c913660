"""How far a training is, and the learning rate there."""

from __future__ import annotations

import math
import time

WARM_UP = 0.2
_FIRST_RATE = 1 / 25
_LAST_RATE = 1e-3
# The first steps are slower than the rest; the pace is that of the steps after them.
_COLD_STEPS = 10


class Schedule:
    """Steps to do, possibly under a deadline.

    While the pace suffices, progress is that of the steps alone, so that the learning rate does not depend on the
    clock. Where the deadline would come first, progress is that of the time.

    Args:
        steps: how many are planned.
        deadline: of `time.monotonic`; None: there is none.
    """

    def __init__(self, steps: int, deadline: float | None = None) -> None:
        self._steps, self._deadline = steps, deadline
        self._started = time.monotonic()
        self._warm: float | None = None
        self._furthest = 0.0

    def progress(self, done: int) -> float:
        """Share of the training that is over after `done` steps, 0 to 1; it never falls."""
        share = done / self._steps
        if self._deadline is not None:
            share = max(share, self._share_of_time(done, self._deadline))
        self._furthest = max(self._furthest, min(1.0, share))
        return self._furthest

    def _share_of_time(self, done: int, deadline: float) -> float:
        """Share of the time that is over, or 0 while the time will suffice."""
        now = time.monotonic()
        if now >= deadline:
            return 1.0
        if done >= _COLD_STEPS and self._warm is None:
            self._warm = now
        if self._warm is None or done < 2 * _COLD_STEPS:
            return 0.0
        pace = (now - self._warm) / (done - _COLD_STEPS)
        if now + pace * (self._steps - done) <= deadline:
            return 0.0
        return (now - self._started) / (deadline - self._started)


def rate(progress: float) -> float:
    """Share of the highest learning rate at this progress: one cycle, up along a cosine and down along another.

    After Smith and Topin, "Super-Convergence" (2018), with cosines in place of lines.
    """
    if progress < WARM_UP:
        return _FIRST_RATE + (1 - _FIRST_RATE) * 0.5 * (1 - math.cos(math.pi * progress / WARM_UP))
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
