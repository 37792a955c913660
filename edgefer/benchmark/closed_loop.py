"""The closed loop: one run after the other, each beginning when the last has ended."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from edgefer.benchmark.result import ClosedLoop, Settings
from edgefer.benchmark.statistics import latency
from edgefer.benchmark.steady import Patience, warm_up
from edgefer.benchmark.timeline import Action, Aside, Effort, Timeline

PAUSED = "Python's garbage collector was paused"


def closed_loop(
    action: Action,
    *,
    settings: Settings,
    effort: Effort | None = None,
    patience: Patience | None = None,
    aside: Aside | None = None,
    timeline: Timeline | None = None,
) -> ClosedLoop:
    """Warm up until steady, then time at least `effort.runs` runs and `effort.seconds` seconds, up to the limit.

    Python's garbage collector is paused while the clock counts, and is as it was afterwards, whatever happens. The
    settings of the result say so in `note`, and also when the limit came first.

    Args:
        action: one run; its value is dropped. Whatever it raises comes through.
        settings: what the action is.
        effort: how much to measure, and at what confidence.
        patience: how long to warm up.
        aside: called between runs. The run after it is done and not counted, because the call has taken the caches
            from it; there is no call before the first run and none after the last.
        timeline: the clock and the moment that `started` counts from.
    """
    wanted, clock = effort or Effort(), timeline or Timeline()
    warmed = warm_up(action, patience=patience, timeline=clock)
    started: list[float] = []
    durations: list[float] = []
    now = clock.now
    with collector_paused():
        begin = called = now()
        while True:
            begun = now()
            action()
            ended = now()
            started.append(begun)
            durations.append(ended - begun)
            if wanted.enough(len(durations), ended - begin):
                break
            if aside is not None and ended - called >= aside.every:
                aside.call()
                action()
                called = now()
    cut = wanted.shortfall(len(durations), ended - begin)
    return ClosedLoop(
        settings=noted(settings, PAUSED, cut),
        warm_up=warmed,
        latency=latency(durations, confidence=wanted.confidence),
        started=tuple(clock.since_start(moment) for moment in started),
        durations=tuple(durations),
    )


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's garbage collector runs once and then not at all inside; afterwards it is as it was."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def noted(settings: Settings, *notes: str) -> Settings:
    """The settings with notes added; empty ones are left out."""
    return msgspec.structs.replace(settings, note="; ".join(note for note in (settings.note, *notes) if note))
