"""How far a training is, and the learning rate there."""

from __future__ import annotations

import math
import time

WARM_UP = 0.2
_FIRST_RATE = 1 / 25
_LAST_RATE = 1e-3
# The first steps are slower than the rest; no pace is judged by them.
_STEPS_TO_TELL = 10


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
        self._furthest = 0.0

    def progress(self, done: int) -> float:
        """Share of the training that is over after `done` steps, 0 to 1; it never falls."""
        share = done / self._steps
        now = time.monotonic()
        if self._deadline is not None and done:
            spent, allowed = now - self._started, self._deadline - self._started
            behind = allowed <= 0 or spent / done * self._steps > allowed
            if now >= self._deadline:
                share = 1.0
            elif behind and done >= _STEPS_TO_TELL:
                share = max(share, spent / allowed)
        self._furthest = max(self._furthest, min(1.0, share))
        return self._furthest


def rate(progress: float) -> float:
    """Share of the highest learning rate at this progress: one cycle, up along a cosine and down along another.

    After Smith and Topin, "Super-Convergence" (2018), with cosines in place of lines.
    """
    if progress < WARM_UP:
        return _FIRST_RATE + (1 - _FIRST_RATE) * 0.5 * (1 - math.cos(math.pi * progress / WARM_UP))
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
