"""The lanes of a runner: who has one, and which answers nobody has fetched yet."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from edgefer.errors import UsageError
from edgefer.runtime.gpu.cuda_context import PrimaryContext
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.submitted import Submitted

_LOOK_AGAIN_SECONDS = 0.1


class Lanes:
    """Hands out lanes to threads that are in the GPU's context, and stay there as long as they have one.

    Whatever Ctrl-C interrupts, one table says who has a lane: a thread, or an answer that nobody has fetched. What was
    lent to a thread that is in no inference any more was lost on the way, and is taken back when it is needed.
    """

    def __init__(self, lanes: Sequence[Lane], context: PrimaryContext) -> None:
        self.all = tuple(lanes)
        self._context = context
        self._taken: dict[Lane, int | Submitted] = {}
        self._changed = threading.Condition()
        self._closed = False

    def take(self, held: Collection[Lane] = ()) -> Lane:
        """A lane for the calling thread alone. Where all are taken by answers that nobody has fetched, the oldest is
        fetched. `held` are those that the caller has already.

        Raises:
            UsageError: the lanes are closed.
        """
        while True:
            with self._changed:
                if self._closed:
                    raise UsageError("the session is closed", hint="open another with edgefer.load")
                for lane in self.all:
                    if lane not in self._taken:
                        self._taken[lane] = threading.get_ident()
                        return lane
                oldest = self._oldest()
                if oldest is None:
                    # In the context once: for what the lane is taken for, and in the middle of nothing else.
                    if not self._reclaim(held, idle=self._context.depth <= 1):
                        self._changed.wait(_LOOK_AGAIN_SECONDS)
                    continue
            self._collect(oldest)

    def give(self, lane: Lane) -> None:
        """A lane that was taken, with nothing on its stream."""
        with self._changed:
            del self._taken[lane]
            self._changed.notify()

    def pending(self, submitted: Submitted, lane: Lane) -> None:
        """An answer that has taken its lane along."""
        with self._changed:
            self._taken[lane] = submitted
            self._changed.notify()

    def fetched(self, submitted: Submitted, lane: Lane) -> None:
        """An answer has been fetched, and its lane is free."""
        with self._changed:
            if self._taken.get(lane) is submitted:
                del self._taken[lane]
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
                if not self._taken:
                    return True
                oldest = self._oldest()
                if oldest is None:
                    with self._context:
                        reclaimed = self._reclaim((), idle=True)
                    if not reclaimed:
                        self._changed.wait(_LOOK_AGAIN_SECONDS)
                    continue
            self._collect(oldest)

    def _oldest(self) -> Submitted | None:
        return next((owner for owner in self._taken.values() if isinstance(owner, Submitted)), None)

    def _collect(self, submitted: Submitted) -> None:
        # Not under the lock: it waits for the GPU.
        submitted.fetch()
        with self._changed:
            for lane, owner in tuple(self._taken.items()):
                if owner is submitted:  # its fetching was interrupted before it could say so
                    del self._taken[lane]

    def _reclaim(self, held: Collection[Lane], *, idle: bool) -> bool:
        """Take back what was lost; `idle` says whether that is so of all that the calling thread has but `held`."""
        me, found = threading.get_ident(), False
        for lane, owner in tuple(self._taken.items()):
            if isinstance(owner, Submitted) or lane in held:
                continue
            if idle if owner == me else not self._context.inside(owner):
                lane.settle()
                del self._taken[lane]
                found = True
        return found
