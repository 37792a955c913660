"""The lanes of a runner: who has one, and which answers nobody has fetched yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from edgefer.errors import UsageError
from edgefer.runtime.lane import Lane
from edgefer.runtime.submitted import Submitted


class Lanes:
    """Hands out lanes, the one that was given back last first: its memory is still in the caches."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.all = tuple(lanes)
        self._free = list(lanes)
        self._pending: deque[Submitted] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def take(self) -> Lane:
        """A lane for the caller alone. Where all are taken by answers that nobody has fetched, the oldest is fetched.

        Raises:
            UsageError: the lanes are closed.
        """
        while True:
            with self._changed:
                if self._closed:
                    raise UsageError("the session is closed", hint="open another with edgefer.load")
                if self._free:
                    return self._free.pop()
                if not self._pending:
                    self._changed.wait()
                    continue
                oldest = self._pending.popleft()
            # Not under the lock: it waits for the GPU, and gives the lane back.
            oldest.fetch()

    def give(self, lane: Lane) -> None:
        """A lane that was taken, with nothing on its stream."""
        with self._changed:
            self._free.append(lane)
            self._changed.notify()

    def pending(self, submitted: Submitted) -> None:
        """An answer that has taken its lane along."""
        with self._changed:
            self._pending.append(submitted)
            self._changed.notify()

    def fetched(self, submitted: Submitted, lane: Lane) -> None:
        """An answer has been fetched, and its lane is free."""
        with self._changed:
            if submitted in self._pending:
                self._pending.remove(submitted)
            self._free.append(lane)
            self._changed.notify()

    def close(self) -> bool:
        """Hand out none any more, fetch what is pending and wait for those that are taken; whether this call did it."""
        with self._changed:
            if self._closed:
                return False
            self._closed = True
            self._changed.notify_all()
        while True:
            with self._changed:
                if len(self._free) == len(self.all):
                    return True
                if not self._pending:
                    self._changed.wait()
                    continue
                oldest = self._pending.popleft()
            oldest.fetch()
