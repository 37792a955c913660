"""The time of a benchmark: seconds since its start, on one monotonic clock, the same for every series in the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgefer.errors import UsageError

Action = Callable[[], object]
"""One run of what is measured."""


@dataclass(frozen=True)
class Timeline:
    """A clock, a way to wait on it, and the moment that counts as zero.

    Args:
        now: seconds on a clock that never goes back; `time.perf_counter` has the finest resolution of them.
        sleep: waits for seconds on that clock.
        origin: what `now` said when the benchmark began.
    """

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    origin: float = field(default_factory=time.perf_counter)

    @staticmethod
    def simulated(now: Callable[[], float], sleep: Callable[[float], None] | None = None) -> Timeline:
        """A timeline on another clock, which begins with what that clock says now."""
        return Timeline(now, sleep or time.sleep, now())

    def since_start(self, moment: float) -> float:
        """Seconds from the start of the benchmark to a moment that `now` gave."""
        return moment - self.origin


@dataclass(frozen=True)
class Aside:
    """Something to do beside a measurement, such as reading clocks and temperatures or moving a bar.

    Args:
        call: must be short; it is called between runs, outside of what is timed.
        every: seconds from one call to the next, at least.
    """

    call: Action
    every: float = 0.5


@dataclass(frozen=True)
class Effort:
    """How much to measure: at least so many runs and so many seconds, and in no case longer than `most_seconds`.

    `confidence` is that of the intervals made from it.

    Raises:
        UsageError: no measurement can be so.
    """

    runs: int = 100
    seconds: float = 3.0
    most_seconds: float = 60.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.runs < 1 or not 0 <= self.seconds <= self.most_seconds or not 0.5 <= self.confidence < 1:
            raise UsageError(
                f"{self.runs} runs, {self.seconds:g} s, at most {self.most_seconds:g} s, at a confidence of "
                f"{self.confidence:g}: this cannot be measured",
                hint="one run or more, the limit not below the seconds, a confidence from 0.5 to below 1",
            )

    def enough(self, runs: int, seconds: float) -> bool:
        """Whether a measurement of this many runs that took so many seconds may end."""
        return (runs >= self.runs and seconds >= self.seconds) or seconds >= self.most_seconds

    def shortfall(self, runs: int, seconds: float) -> str:
        """What the limit cut off, in words; empty where nothing was."""
        if runs >= self.runs and seconds >= self.seconds:
            return ""
        return f"ended by the limit of {self.most_seconds:g} s after {runs} of {self.runs} runs"
