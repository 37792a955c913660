"""The progress of a long build, from inside TensorRT in the child to whoever reports it in the parent.

The child has an `IProgressMonitor`, which TensorRT calls from threads of its own, and keeps one small file up to date;
the parent looks at it while it waits. A release without monitors, and a file that cannot be written, leave the seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgefer.progress import Advance, Reporter, show

PARTS = 1000
"""The units of a build whose share is known."""

_WRITE_SECONDS = 0.1


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a build is: the share of it that is done (0 to 1), and which phase is at work."""

    share: float
    phase: str


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The phases that are under way. They are nested, and have names that are unique while they last."""

    def __init__(self) -> None:
        self._live: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._live.pop(name, None)
        self._live[name] = _Phase(parent, max(1, steps))

    def step(self, name: str, step: int) -> None:
        """Step number `step` (from 0) is done; a phase that was never started is none of ours."""
        phase = self._live.get(name)
        if phase is not None:
            phase.done = max(phase.done, step + 1)

    def finish(self, name: str) -> None:
        """The phase is over, whether or not each of its steps was reported."""
        phase = self._live.pop(name, None)
        if phase is not None and phase.parent is None:
            self._share = 1.0

    def now(self) -> Progress:
        """The share never goes back, though a phase may turn out to have more parts than it seemed."""
        roots = [name for name, phase in self._live.items() if phase.parent is None]
        self._share = max([self._share, *(self._share_of(name) for name in roots)])
        if not self._live:
            return Progress(share=self._share, phase="")
        name, phase = next(reversed(self._live.items()))
        return Progress(share=self._share, phase=f"{name}, {min(phase.done + 1, phase.steps)} of {phase.steps}")

    def _share_of(self, name: str, depth: int = 0) -> float:
        phase = self._live[name]
        inner = [child for child, each in self._live.items() if each.parent == name and child != name]
        within = sum(self._share_of(child, depth + 1) for child in inner) if depth < len(self._live) else 0.0
        return min(1.0, (phase.done + min(1.0, within)) / phase.steps)


class BuildProgress:
    """The child's side: attached to a builder's configuration, it keeps `path` up to date."""

    def __init__(self, path: Path) -> None:
        self._path, self._phases, self._lock = path, Phases(), threading.Lock()
        self._written = float("-inf")
        self._monitor: Any = None

    def attach(self, trt: Any, config: Any) -> None:
        """Watch the build of this configuration, where this release can be watched."""
        if hasattr(trt, "IProgressMonitor") and hasattr(config, "progress_monitor"):
            self._monitor = monitor_of(trt, self)  # it has to live as long as the build
            config.progress_monitor = self._monitor

    def collect(self, trt: Any, config: Any) -> None:
        """There is nothing to fetch after the build."""

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases.start(name, parent, steps)
            self._write()

    def step(self, name: str, step: int) -> None:
        with self._lock:
            self._phases.step(name, step)
            self._write()

    def finish(self, name: str) -> None:
        with self._lock:
            self._phases.finish(name)
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        if now - self._written < _WRITE_SECONDS:
            return
        self._written = now
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self._phases.now()))
            fresh.replace(self._path)
        except OSError:
            # Only a bar is lost, and an exception inside TensorRT's callback would cost the build.
            self._written = float("inf")


def monitor_of(trt: Any, progress: BuildProgress) -> Any:
    """A monitor of TensorRT that tells `progress`."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step)
            return True  # whoever wants to stop the build ends the process

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()


def read_progress(path: Path) -> Progress | None:
    """What the child said last; None before it said anything."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return None


class Watch:
    """The parent's side: one task of a reporter, in seconds until the child says how far it is, then in shares."""

    def __init__(self, reporter: Reporter, task: str, path: Path) -> None:
        self._reporter, self._task, self._path = reporter, task, path
        self._stack = contextlib.ExitStack()
        self._advance: Advance | None = None
        self._told, self._shares = 0, False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Watch]:
        with self._stack:
            self._advance = self._stack.enter_context(self._reporter.task(self._task))
            yield self

    def tick(self, seconds: float) -> None:
        """Tell the reporter what is new, `seconds` after the start."""
        progress = read_progress(self._path)
        if progress is None:
            self._tell(int(seconds))
            return
        if not self._shares:
            self._stack.close()
            self._advance = self._stack.enter_context(self._reporter.task(self._task, PARTS))
            self._told, self._shares = 0, True
        self._tell(round(progress.share * PARTS))
        if self._advance is not None:
            show(self._advance, progress.phase)

    def _tell(self, units: int) -> None:
        if units > self._told and self._advance is not None:
            self._advance(units - self._told)
            self._told = units
