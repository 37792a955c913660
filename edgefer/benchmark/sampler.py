"""Something read again and again, at a stated rate, by a thread beside what is being measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Reading = TypeVar("Reading")

# Longer than any sensor takes; a driver that hangs must not hang the benchmark as well.
_PATIENCE = 5.0


class Sampler(Generic[Reading]):
    """Reads from `start` to `stop`, or as a context manager; the first and the last reading are at those moments.

    A reading that raises ends the sampling and nothing else: what came before is kept, and `problem` says why. Readings
    that come due while one is still under way are left out and not made up for.

    Args:
        read: takes the moment in seconds and returns what is kept.
        rate: readings a second.
        now: the clock that the measured run is timed with, in seconds, so that moments need no aligning.
        wait: sleeps that many seconds or until told to stop; tests put their own.
    """

    def __init__(
        self,
        read: Callable[[float], Reading],
        *,
        rate: float,
        now: Callable[[], float],
        wait: Callable[[float], object] | None = None,
    ) -> None:
        if rate <= 0:
            raise ValueError(f"{rate} readings a second; expected more than none")
        self._read, self._now = read, now
        self._period = 1 / rate
        self._end = threading.Event()
        self._wait = self._end.wait if wait is None else wait
        self._samples: list[tuple[float, Reading]] = []
        self._spent = 0.0
        self._thread: threading.Thread | None = None
        self.rate = rate
        self.problem = ""

    @property
    def samples(self) -> tuple[tuple[float, Reading], ...]:
        """What was read so far, each with its moment: the middle of the time that the reading took."""
        return tuple(self._samples)

    @property
    def cost(self) -> float:
        """Mean seconds that one reading took."""
        return self._spent / len(self._samples) if self._samples else 0.0

    def start(self) -> None:
        """Take the first reading, then go on in a thread of its own."""
        if self._thread is not None:
            raise RuntimeError("a sampler starts once")
        self._take()
        self._thread = threading.Thread(target=self._run, name="edgefer-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the last reading; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end.set()
        thread.join(_PATIENCE)
        if thread.is_alive():
            self.problem = self.problem or f"a reading has taken longer than {_PATIENCE:g} s"
        self._take()

    def __enter__(self) -> Sampler[Reading]:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        due = self._now() + self._period
        while not self.problem:
            self._wait(max(due - self._now(), 0.0))
            if self._end.is_set():
                return
            self._take()
            due = max(due + self._period, self._now())

    def _take(self) -> None:
        if self.problem:
            return
        before = self._now()
        try:
            value = self._read(before)
        except Exception as error:  # whatever a sensor does, the run that it is beside goes on
            self.problem = f"reading failed {before:.1f} s into the run: {str(error) or type(error).__name__}"
            return
        after = self._now()
        self._spent += after - before
        self._samples.append(((before + after) / 2, value))
