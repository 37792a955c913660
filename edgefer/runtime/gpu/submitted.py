"""An inference on its way, whose answer somebody fetches later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy.typing as npt

from edgefer.errors import EdgeferError, UsageError
from edgefer.runtime.gpu.lane import Lane

Array = npt.NDArray[Any]


class Submitted:
    """What `TensorRtRunner.submit` started. Any thread may ask, and several at once.

    It has a lane until its answer is fetched: by `wait`, or by the runner, which fetches the oldest when it needs the
    lane, and all when it is closed.
    """

    def __init__(
        self,
        lane: Lane,
        batch: int,
        out: Mapping[str, Array] | None,
        keep: object,
        *,
        current: AbstractContextManager[object],
        fetched: Callable[[Submitted, Lane], None],
    ) -> None:
        """`keep` stays alive until the GPU has read it; `fetched` is called once, when the lane is free again."""
        self._lane: Lane | None = lane
        self._batch, self._out, self._keep = batch, out, keep
        self._current, self._fetched = current, fetched
        self._lock = threading.Lock()
        self._results: dict[str, Array] = {}
        self._error: Exception | None = None
        self._handle = int(lane.event.handle)

    @property
    def event(self) -> int:
        """The CUevent behind it, for other streams to wait for until the answer is fetched; afterwards the lane records
        it behind another inference."""
        return self._handle

    def done(self) -> bool:
        """Whether the GPU is done with it: `wait` will not wait for it."""
        if not self._lock.acquire(blocking=False):
            return False  # another thread is fetching it
        try:
            if self._lane is None:
                return True
            with self._current:
                return self._lane.event.done()
        except EdgeferError:
            return True  # `wait` says what it is
        finally:
            self._lock.release()

    def wait(self) -> dict[str, Array]:
        """The outputs by name, in the arrays given for them where some were; the same with every call.

        Raises:
            DeviceError: the inference failed.
        """
        self.fetch()
        if self._error is not None:
            raise self._error
        return self._results

    def fetch(self) -> None:
        """Wait for it and let its lane go, whatever came of it."""
        with self._lock:
            lane = self._lane
            if lane is None:
                return
            try:
                with self._current:
                    try:
                        lane.wait()
                        self._results = lane.results(self._batch, self._out)
                    except BaseException:
                        lane.settle()
                        raise
            except Exception as error:  # it is for who asks for this answer, and not for who needs the lane
                self._error = error
            except BaseException:
                self._error = UsageError("waiting for this answer was interrupted", hint="start the inference again")
                raise
            finally:
                # Before the lane is free: who comes later must not wait on what others do there.
                self._lane = self._keep = self._out = None
                self._fetched(self, lane)
