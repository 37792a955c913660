"""Answers that are still being computed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from edgefer.errors import AnswerPending, UsageError
from edgefer.runtime.estimate import Estimate

if TYPE_CHECKING:
    from edgefer.runtime.runner import Runner, Submitted

MOST_PENDING = 8
"""Inferences that may wait for the CPU at once. Whoever submits another waits: cameras deliver faster than a CPU that
falls behind, and their frames would fill the memory."""

_SHORTEST_SLEEP, _LONGEST_SLEEP = 50e-6, 2e-3

Outputs = dict[str, npt.NDArray[Any]]


class PendingEstimate:
    """An answer under way, as `Session.infer_async` gives it. Any thread may ask for it, any number of times.

    Args:
        submitted: the inference.
        finish: makes the estimate of its outputs.
    """

    def __init__(self, submitted: Submitted, finish: Callable[[Outputs], Estimate]) -> None:
        self._submitted, self._finish = submitted, finish
        self._lock = threading.Lock()
        self._estimate: Estimate | None = None
        self._error: Exception | None = None

    @property
    def event(self) -> int | None:
        """The CUevent recorded behind the inference, for a stream to wait for; None on the CPU.

        It means this inference until `result` returns or the session is closed, and is used again afterwards.
        """
        return self._submitted.event

    def done(self) -> bool:
        """Whether `result` would answer, or raise, at once."""
        return self._settled or self._submitted.done()

    def result(self, timeout: float | None = None) -> Estimate:
        """The estimate, as `Session.infer` gives it.

        Args:
            timeout: seconds to wait for it at the most; None waits until it is there.

        Raises:
            AnswerPending: it is not there after `timeout` seconds; it can be asked for again.
            InputError: the logits are not finite.
            EdgeferError: the inference failed, as in `Session.infer`.
        """
        if timeout is not None:
            self._wait(timeout)
        with self._lock:
            if not self._settled:
                try:
                    self._estimate = self._finish(self._submitted.wait())
                except Exception as error:
                    self._error = error
            if self._error is not None:
                raise self._error
            assert self._estimate is not None
            return self._estimate

    @property
    def _settled(self) -> bool:
        return self._estimate is not None or self._error is not None

    def _wait(self, timeout: float) -> None:
        end, pause = time.monotonic() + timeout, _SHORTEST_SLEEP
        while not self.done():
            left = end - time.monotonic()
            if left <= 0:
                raise AnswerPending(
                    f"the answer is not there after {timeout:g} s", hint="ask again later, or wait without a timeout"
                )
            time.sleep(min(left, pause))
            pause = min(2 * pause, _LONGEST_SLEEP)


class HostQueue:
    """Inferences of a runner on the CPU, one after the other in a thread that is started with the first.

    Args:
        runner: what runs them.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._room = threading.BoundedSemaphore(MOST_PENDING)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None) -> Submitted:
        """Start one. The feeds are copied, so that they may change at once, as those of a GPU may.

        Raises:
            UsageError: it is closed.
        """
        copies = {name: feed.copy() for name, feed in feeds.items()}
        if self._process != os.getpid():  # forked: the thread, and what waits for it, is the other process's
            self._begin()
        room = self._room
        room.acquire()
        try:
            with self._lock:
                if self._closed:
                    raise UsageError("the session is closed", hint="open another with edgefer.load")
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(1, thread_name_prefix="edgefer-async")
                future = self._pool.submit(self._run, copies, out)
        except BaseException:
            room.release()
            raise
        future.add_done_callback(lambda _: room.release())
        return _OnHost(future)

    def _run(self, feeds: Mapping[str, npt.NDArray[Any]], out: Mapping[str, npt.NDArray[Any]] | None) -> Outputs:
        return self._runner.run(feeds) if out is None else self._runner.run(feeds, out)

    def close(self) -> None:
        """Wait for those that were submitted, and end the thread. What they answered can still be asked for."""
        with self._lock:
            self._closed, pool = True, self._pool
        if pool is not None:
            pool.shutdown(wait=True)


class _OnHost:
    """An inference in the queue."""

    event = None

    def __init__(self, future: Future[Outputs]) -> None:
        self._future = future

    def done(self) -> bool:
        return self._future.done()

    def wait(self) -> Outputs:
        return self._future.result()
