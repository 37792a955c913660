"""Streams of a GPU: copies and launches in order, events that time them, and graphs that replay them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.kernels.driver import Driver


class Stream:
    """A stream that does not wait for the default one. Its context must be current where it is made and used.

    Copies and fills are ordered with the launches on it, and the host must not touch an array before `wait`.
    `priority` is a number of `priority_range`: where kernels wait, those of the lower number go first. 0 is what every
    stream has that nobody gave another.
    """

    def __init__(self, driver: Driver, priority: int = 0) -> None:
        self.driver = driver
        self.priority = priority
        flags = driver.bindings.CUstream_flags.CU_STREAM_NON_BLOCKING
        self.handle = (
            driver.call("cuStreamCreateWithPriority", flags, priority)
            if priority
            else driver.call("cuStreamCreate", flags)
        )

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives it back, once. What is on it is still done."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            self.driver.call("cuStreamDestroy", handle)

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """A contiguous array to the GPU."""
        if array.nbytes:
            self.driver.call("cuMemcpyHtoDAsync", address, _contiguous(array).ctypes.data, array.nbytes, self.handle)

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """From the GPU into a contiguous array."""
        if array.nbytes:
            self.driver.call("cuMemcpyDtoHAsync", _contiguous(array).ctypes.data, address, array.nbytes, self.handle)

    def copy_between(self, target: int, source: int, size: int) -> None:
        """`size` bytes from one address of the GPU to another."""
        if size:
            self.driver.call("cuMemcpyDtoDAsync", target, source, size, self.handle)

    def fill(self, address: int, byte: int, size: int) -> None:
        """Sets `size` bytes to `byte`."""
        if size:
            self.driver.call("cuMemsetD8Async", address, byte, size, self.handle)

    def wait(self) -> None:
        """Until all that was put on the stream is done; errors of kernels show here."""
        self.driver.call("cuStreamSynchronize", self.handle)

    def wait_for(self, event: Event) -> None:
        """Has what is put on the stream from now on wait for the moment of `event`; the host does not wait."""
        self.driver.call("cuStreamWaitEvent", self.handle, event.handle, 0)

    @contextmanager
    def capture(self) -> Iterator[Graph]:
        """`with stream.capture() as graph: ...` records what is put on the stream instead of doing it.

        Only this thread's calls are watched for what a capture forbids, so that other threads may go on allocating.
        When the block raises, the capture is ended, what was recorded is dropped and the stream can be used again.
        """
        mode = self.driver.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        graph = Graph(self)
        try:
            # Ctrl-C may come when it has begun: a stream that records for ever does nothing any more.
            self.driver.call("cuStreamBeginCapture", self.handle, mode)
            yield graph
            recorded = self.driver.call("cuStreamEndCapture", self.handle)
        except BaseException:
            # A capture that was made invalid reports that here, and what made it so is already on its way up.
            result, recorded = self.driver.bindings.cuStreamEndCapture(self.handle)
            if result == self.driver.bindings.CUresult.CUDA_SUCCESS:
                self.driver.call("cuGraphDestroy", recorded)
            raise
        try:
            graph.executable = self.driver.call("cuGraphInstantiate", recorded, 0)
        finally:
            self.driver.call("cuGraphDestroy", recorded)


class Graph:
    """What a capture recorded; ready to be replayed after the `with` block. The addresses are those of the capture."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.executable: Any = None

    def replay(self) -> None:
        """Puts all of it on the stream."""
        self.stream.driver.call("cuGraphLaunch", self.executable, self.stream.handle)

    def close(self) -> None:
        if self.executable is not None:
            self.stream.driver.call("cuGraphExecDestroy", self.executable)
            self.executable = None


class Event:
    """A moment on a stream.

    Without `timing` it costs less and cannot be measured with. `blocking` has the thread that waits for it sleep, which
    leaves the processor to others and finds out some microseconds later, where it would spin.
    """

    def __init__(self, driver: Driver, timing: bool = True, blocking: bool = False) -> None:
        self.driver = driver
        kinds = driver.bindings.CUevent_flags
        flags = kinds.CU_EVENT_DEFAULT if timing else kinds.CU_EVENT_DISABLE_TIMING
        if blocking:
            flags = int(flags) | int(kinds.CU_EVENT_BLOCKING_SYNC)
        self.handle = driver.call("cuEventCreate", flags)

    def record(self, stream: Stream | int) -> None:
        """Puts the moment on a stream; a number is the handle of a stream that another library made."""
        self.driver.call("cuEventRecord", self.handle, getattr(stream, "handle", stream))

    def wait(self) -> None:
        """Until the moment has passed; at once where it was put on no stream. Errors of kernels show here."""
        self.driver.call("cuEventSynchronize", self.handle)

    def done(self) -> bool:
        """Whether the moment has passed."""
        (result,) = self.driver.bindings.cuEventQuery(self.handle)
        if result == self.driver.bindings.CUresult.CUDA_ERROR_NOT_READY:
            return False
        self.driver.check("cuEventQuery", result)
        return True

    def seconds_since(self, earlier: Event) -> float:
        """Waits until both moments have passed. The driver resolves about half a microsecond."""
        self.wait()
        return float(self.driver.call("cuEventElapsedTime", earlier.handle, self.handle)) / 1e3

    def close(self) -> None:
        """Gives it back, once."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            self.driver.call("cuEventDestroy", handle)


def priority_range(driver: Driver) -> tuple[int, int]:
    """The priorities of streams in the current context, least first. Lower numbers go first, and (0, 0) is all that a
    GPU without priorities has."""
    least, greatest = driver.call("cuCtxGetStreamPriorityRange")
    return int(least), int(greatest)


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} and strides {array.strides} is not contiguous")
    return np.asarray(array)
