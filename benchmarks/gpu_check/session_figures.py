"""What an inference of a session costs: on the GPU by events, for the caller by the clock, with a graph and without."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.gpu_check.figures import figure
from benchmarks.gpu_check.known import on_gpu
from benchmarks.gpu_check.replays import Replay, from_gpu, from_host
from benchmarks.gpu_check.result import SessionFigures
from benchmarks.gpu_check.subject import Subject
from edgefer.benchmark.machine import describe
from edgefer.benchmark.machine.observe import Observer
from edgefer.benchmark.machine.steadiness import warnings
from edgefer.benchmark.nvml import open_nvml
from edgefer.benchmark.result import Moment
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

ROUNDS, WARM_UPS = 3000, 300
_LOOK = 100
"""Rounds between two looks at the clocks. A thread that looks would come between an event and the launch behind it."""


def session_figures(
    subject: Subject, rounds: int = ROUNDS, *, loading: Mapping[str, Mapping[str, float]] | None = None
) -> SessionFigures:
    """All in the same rounds: `infer` of arrays on the host and of bound arrays in the GPU's memory, the graphs of both
    alone, and `infer` without graphs.

    Args:
        loading: seconds of opening sessions, by stage, to be kept beside.
    """
    feeds = subject.feeds()
    with ExitStack() as stack:
        arrays = on_gpu(feeds, stack)
        session = stack.enter_context(subject.open(GpuSettings()))
        plain = stack.enter_context(subject.open(GpuSettings(graphs=False)))
        session.bind(**arrays)
        host = stack.enter_context(Replay(session, from_host(session)))
        bound = stack.enter_context(Replay(session, from_gpu(session, arrays)))
        nvml, _ = open_nvml()
        if nvml is not None:
            stack.callback(nvml.close)
        observer, started = Observer(nvml=nvml), time.perf_counter()
        moments: list[Moment] = []
        taken: dict[str, list[float]] = {name: [] for name in ("wall", "gpu", "bound", "bound gpu", "plain")}
        for number in range(-min(WARM_UPS, rounds), rounds):
            if not number % _LOOK:
                moments.append(observer.moment(time.perf_counter() - started))
                session.infer(**feeds)
            each = {
                "wall": _timed(session, feeds),
                "gpu": host.seconds(),
                "bound": _timed(session, arrays),
                "bound gpu": bound.seconds(),
                "plain": _timed(plain, feeds),
            }
            if number >= 0:
                for name, seconds in each.items():
                    taken[name].append(seconds)
        replayed = host.inference.captured
    found = {name: np.asarray(seconds) for name, seconds in taken.items()}
    return SessionFigures(
        engine=subject.engine,
        gpu=figure(found["gpu"]),
        gpu_p99_over_p50=float(np.quantile(found["gpu"], 0.99) / np.median(found["gpu"])),
        wall=figure(found["wall"]),
        wall_p99=float(np.quantile(found["wall"], 0.99)),
        overhead=figure(found["wall"] - found["gpu"]),
        bound_overhead=figure(found["bound"] - found["bound gpu"]),
        plain=figure(found["plain"]),
        replayed=replayed,
        loading={name: dict(stages) for name, stages in (loading or {}).items()},
        clocks=_clocks(moments),
        warnings=warnings(describe(), moments),
    )


def _timed(session: Session, tensors: Mapping[str, Any]) -> float:
    started = time.perf_counter()
    session.infer(**tensors)
    return time.perf_counter() - started


def _clocks(moments: Iterable[Moment]) -> dict[str, tuple[float, float]]:
    seen: dict[str, list[float]] = {}
    for moment in moments:
        for clock in moment.clocks:
            if clock.hertz is not None:
                seen.setdefault(clock.name, []).append(clock.hertz)
    return {name: (min(values), max(values)) for name, values in seen.items()}
