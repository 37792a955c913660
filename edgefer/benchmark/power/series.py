"""The samples of one source along a benchmark, and the windows of time in which they count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from edgefer.benchmark.power.source import PowerSource, SourceName, SourceRail
from edgefer.benchmark.sampler import Sampler


@dataclass(frozen=True)
class Window:
    """From `start` to `stop`, in seconds on the benchmark's clock."""

    start: float
    stop: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.stop - self.start


@dataclass(frozen=True)
class Series:
    """Readings of all rails: `values[i][r]` at `times[i]`, joules where `cumulative`, watts elsewhere, None for a gap.

    `rate` is in readings a second as asked for, `cost` the seconds that one took, `problem` why sampling ended early.
    """

    source: SourceName
    rails: tuple[SourceRail, ...]
    cumulative: bool
    times: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]
    rate: float
    cost: float = 0.0
    problem: str = ""
    note: str = ""


class PowerSampler:
    """Samples a source beside the run, as a context manager. `idle` first, then the run, then `series`.

    Args:
        source: read from the sampling thread; the caller closes it.
        now: the run's clock, in seconds since the benchmark's start.
        rate: readings a second.
        sleep: how `idle` waits; tests put their own.
    """

    def __init__(
        self,
        source: PowerSource,
        *,
        now: Callable[[], float],
        rate: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source, self._now, self._sleep = source, now, sleep
        self._sampler = Sampler(lambda at: source.read(), rate=rate, now=now)

    def idle(self, seconds: float) -> Window:
        """Let `seconds` pass in which nothing runs; the window is what is subtracted from the run."""
        start = self._now()
        self._sleep(seconds)
        return Window(start, self._now())

    def series(self) -> Series:
        """All that was sampled so far."""
        samples = self._sampler.samples
        return Series(
            source=self._source.name,
            rails=self._source.rails,
            cumulative=self._source.cumulative,
            times=tuple(at for at, _ in samples),
            values=tuple(values for _, values in samples),
            rate=self._sampler.rate,
            cost=self._sampler.cost,
            problem=self._sampler.problem,
            note=self._source.note,
        )

    def __enter__(self) -> PowerSampler:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sampler.stop()
