"""Throughput: as many images a second as several streams can take together, each asking again as soon as answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgefer.benchmark.closed_loop import PAUSED, collector_paused, noted
from edgefer.benchmark.result import Settings, Throughput
from edgefer.benchmark.statistics import interval_of_mean, latency
from edgefer.benchmark.steady import Patience, warm_up
from edgefer.benchmark.timeline import Action, Effort, Timeline
from edgefer.errors import UsageError

WINDOWS = 30
"""Into how many windows a measurement is cut; the interval comes from how their rates differ."""

Streams = tuple[Settings, Sequence[Action]]


def sweep(
    batches: Iterable[int],
    streams: Iterable[int],
    opened: Callable[[int, int], AbstractContextManager[Streams]],
    *,
    effort: Effort | None = None,
    patience: Patience | None = None,
    timeline: Timeline | None = None,
) -> tuple[Throughput, ...]:
    """`throughput` at every batch size with every number of streams.

    Args:
        opened: for a batch size and a number of streams, a context that opens what is measured and closes it again.
    """
    found: list[Throughput] = []
    counts = tuple(streams)
    for batch in batches:
        for count in counts:
            with opened(batch, count) as (settings, actions):
                found.append(
                    throughput(actions, settings=settings, effort=effort, patience=patience, timeline=timeline)
                )
    return tuple(found)


def throughput(
    actions: Sequence[Action],
    *,
    settings: Settings,
    effort: Effort | None = None,
    patience: Patience | None = None,
    timeline: Timeline | None = None,
) -> Throughput:
    """Run all actions at once, each over and over in a thread of its own, and count images.

    Each is warmed up alone until steady, then all begin together. Counted is the time in which every stream was busy:
    to the end of the stream that stopped first. A batch that lies across the end of that time, or of one of the windows
    that the interval comes from, counts in part. `effort.runs` is for each stream.

    Args:
        actions: one run of one batch for each stream; each is called by one thread only.
        settings: what the actions are; `batch` is the number of images in one run, `streams` that of the actions.

    Raises:
        UsageError: the number of actions is not that of the streams, or so little was measured that the streams never
            ran at the same time.
    """
    if len(actions) != settings.streams or not actions:
        raise UsageError(f"there are {len(actions)} actions for {settings.streams} streams, expected one for each")
    wanted, clock = effort or Effort(), timeline or Timeline()
    for action in actions:
        warm_up(action, patience=patience, timeline=clock)
    crew = _Crew(wanted, clock, threading.Barrier(len(actions)))
    threads = [
        threading.Thread(target=crew.work, args=(action,), name=f"throughput-{index}", daemon=True)
        for index, action in enumerate(actions)
    ]
    with collector_paused():
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)
        finally:
            crew.stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
    if crew.broken is not None:
        raise crew.broken
    return _report(crew, settings)


@dataclass
class _Crew:
    """The threads of one measurement: for each the moments at which its runs began and ended, (runs + 1,)."""

    effort: Effort
    clock: Timeline
    barrier: threading.Barrier
    moments: list[list[float]] = field(default_factory=list)
    broken: BaseException | None = None
    _stopped: bool = False

    def work(self, action: Action) -> None:
        now = self.clock.now
        try:
            self.barrier.wait()
            mine = [now()]
            while not self._stopped:
                action()
                mine.append(now())
                if self.effort.enough(len(mine) - 1, mine[-1] - mine[0]):
                    self.moments.append(mine)
                    return
        except threading.BrokenBarrierError:
            return
        except BaseException as error:  # it is raised where the caller can see it
            self.broken = self.broken or error
            self.stop()

    def stop(self) -> None:
        self._stopped = True
        self.barrier.abort()


def _report(crew: _Crew, settings: Settings) -> Throughput:
    streams = [np.asarray(moments) for moments in crew.moments]
    begin, end = max(float(moments[0]) for moments in streams), min(float(moments[-1]) for moments in streams)
    if end <= begin:
        raise UsageError("one stream had ended before another began", hint="measure for longer")
    edges = np.linspace(begin, end, min(WINDOWS, max(2, min(len(moments) for moments in streams))) + 1)
    counted = sum(_images_until(edges, moments, settings.batch) for moments in streams)
    rates = np.diff(counted) / np.diff(edges)
    cuts = {crew.effort.shortfall(len(moments) - 1, float(moments[-1] - moments[0])) for moments in streams}
    return Throughput(
        settings=noted(settings, PAUSED, *sorted(cuts)),
        seconds=end - begin,
        images=sum(settings.batch * int(np.count_nonzero(moments[1:] <= end)) for moments in streams),
        rate=float(rates.mean()),
        interval=interval_of_mean(rates, confidence=crew.effort.confidence),
        latency=latency(np.concatenate([np.diff(moments) for moments in streams]), confidence=crew.effort.confidence),
    )


def _images_until(
    edges: npt.NDArray[np.float64], moments: npt.NDArray[np.float64], batch: int
) -> npt.NDArray[np.float64]:
    """How many images a stream has done by each edge, a batch in progress counting by the share of its time."""
    return np.asarray(np.interp(edges, moments, batch * np.arange(len(moments), dtype=np.float64)))
