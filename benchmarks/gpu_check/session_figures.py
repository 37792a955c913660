"""What an inference of a session costs: on the GPU by events, for the caller by the clock, with a graph and without."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.figures import figure
from benchmarks.gpu_check.result import SessionFigures
from benchmarks.gpu_check.subject import Subject, device_of, runner_of
from edgefer.benchmark.machine import describe
from edgefer.benchmark.machine.observe import Observer
from edgefer.benchmark.machine.steadiness import warnings
from edgefer.benchmark.nvml import open_nvml
from edgefer.benchmark.result import Moment
from edgefer.benchmark.sampler import Sampler
from edgefer.kernels.streams import Event
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

ROUNDS, WARM_UPS = 3000, 300
_RATE = 10.0
"""Clocks are looked at so many times a second."""


def session_figures(
    subject: Subject, rounds: int = ROUNDS, *, loading: Mapping[str, Mapping[str, float]] | None = None
) -> SessionFigures:
    """All in the same rounds: `infer` with a graph, a replay of that graph between two events, `infer` without one."""
    feeds = subject.feeds()
    with ExitStack() as stack:
        session = stack.enter_context(subject.open(GpuSettings()))
        plain = stack.enter_context(subject.open(GpuSettings(graphs=False)))
        replay = stack.enter_context(_Replay(session))
        for _ in range(WARM_UPS):
            session.infer(**feeds)
            replay.seconds()
            plain.infer(**feeds)
        taken: dict[str, list[float]] = {"wall": [], "gpu": [], "plain": []}
        with _observed(stack) as sampler:
            for _ in range(rounds):
                taken["wall"].append(_timed(session, feeds))
                taken["gpu"].append(replay.seconds())
                taken["plain"].append(_timed(plain, feeds))
        moments = [moment for _, moment in sampler.samples]
        replayed = replay.captured
    wall, gpu = np.asarray(taken["wall"]), np.asarray(taken["gpu"])
    return SessionFigures(
        engine=subject.engine,
        gpu=figure(gpu),
        gpu_p99_over_p50=float(np.quantile(gpu, 0.99) / np.median(gpu)),
        wall=figure(wall),
        wall_p99=float(np.quantile(wall, 0.99)),
        overhead=figure(wall - gpu),
        plain=figure(taken["plain"]),
        replayed=replayed,
        loading={name: dict(stages) for name, stages in (loading or {}).items()},
        clocks=_clocks(moments),
        warnings=warnings(describe(), moments),
    )


class _Replay:
    """The graph that `infer` launches, between two events on its stream. Nobody else uses the session meanwhile."""

    def __init__(self, session: Session) -> None:
        runner = runner_of(session)
        self._device, self._lane = device_of(session), runner.lanes[0]
        self._inference = self._lane.plain[session.batches[-1]]
        with self._device.current():
            self._begin, self._end = Event(self._device.driver), Event(self._device.driver)

    @property
    def captured(self) -> bool:
        return bool(self._inference.captured)

    def seconds(self) -> float:
        with self._device.current():
            self._begin.record(self._lane.stream)
            self._inference.launch()
            self._end.record(self._lane.stream)
            return self._end.seconds_since(self._begin)

    def __enter__(self) -> _Replay:
        return self

    def __exit__(self, *_: object) -> None:
        with self._device.current():
            self._begin.close()
            self._end.close()


def _timed(session: Session, feeds: Mapping[str, Any]) -> float:
    started = time.perf_counter()
    session.infer(**feeds)
    return time.perf_counter() - started


def _observed(stack: ExitStack) -> Sampler[Moment]:
    nvml, _ = open_nvml()
    if nvml is not None:
        stack.callback(nvml.close)
    return Sampler(Observer(nvml=nvml).moment, rate=_RATE, now=time.perf_counter)


def _clocks(moments: Iterable[Moment]) -> dict[str, tuple[float, float]]:
    seen: dict[str, list[float]] = {}
    for moment in moments:
        for clock in moment.clocks:
            if clock.hertz is not None:
                seen.setdefault(clock.name, []).append(clock.hertz)
    return {name: (min(values), max(values)) for name, values in seen.items()}
