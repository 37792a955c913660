"""Sampling a source beside a run: idle first, then the run; the source's failures are the result's, not the run's."""

from __future__ import annotations

import threading

from edgefer.benchmark.power import PowerSampler, SourceRail, Window, power
from edgefer.benchmark.power.source import SourceName


class Source:
    """Counts its readings; raises from the one numbered `fails` on."""

    name: SourceName = "rapl"
    rails: tuple[SourceRail, ...] = (SourceRail("package-0", True),)
    cumulative = True
    note = "made up"

    def __init__(self, fails: int | None = None) -> None:
        self.fails, self.readings = fails, 0
        self.enough = threading.Event()

    def read(self) -> tuple[float | None, ...]:
        self.readings += 1
        if self.readings >= 3:
            self.enough.set()
        if self.fails is not None and self.readings >= self.fails:
            raise OSError("the counter has gone")
        return (float(self.readings),)

    def close(self) -> None:
        """Nothing is held."""


def test_idle_and_run_are_on_one_clock() -> None:
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    with PowerSampler(Source(), now=lambda: time[0], rate=1.0, sleep=sleep) as sampler:
        assert sampler.idle(5.0) == Window(0.0, 5.0)
        time[0] = 9.0
    series = sampler.series()
    assert (series.times[0], series.times[-1]) == (0.0, 9.0)
    assert (series.source, series.rails, series.cumulative, series.note) == ("rapl", Source.rails, True, "made up")
    assert len(series.values) == len(series.times)


def test_a_source_that_fails_midway_leaves_the_run_alone() -> None:
    source = Source(fails=3)
    with PowerSampler(source, now=lambda: 1.0, rate=1000.0) as sampler:
        assert source.enough.wait(10)
        answered = 42  # the run goes on
    assert answered == 42
    series = sampler.series()
    assert len(series.times) == 2
    found, reason = power(series, run=Window(0.0, 2.0), inferences=1)
    assert found is None
    assert "the counter has gone" in reason
