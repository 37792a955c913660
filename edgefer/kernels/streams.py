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
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.handle = driver.call("cuStreamCreate", driver.bindings.CUstream_flags.CU_STREAM_NON_BLOCKING)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.driver.call("cuStreamDestroy", self.handle)

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """A contiguous array to the GPU."""
        if array.nbytes:
            self.driver.call("cuMemcpyHtoDAsync", address, _contiguous(array).ctypes.data, array.nbytes, self.handle)

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """From the GPU into a contiguous array."""
        if array.nbytes:
            self.driver.call("cuMemcpyDtoHAsync", _contiguous(array).ctypes.data, address, array.nbytes, self.handle)

    def fill(self, address: int, byte: int, size: int) -> None:
        """Sets `size` bytes to `byte`."""
        if size:
            self.driver.call("cuMemsetD8Async", address, byte, size, self.handle)

    def wait(self) -> None:
        """Until all that was put on the stream is done; errors of kernels show here."""
        self.driver.call("cuStreamSynchronize", self.handle)

    @contextmanager
    def capture(self) -> Iterator[Graph]:
        """`with stream.capture() as graph: ...` records what is put on the stream instead of doing it.

        Only this thread's calls are watched for what a capture forbids, so that other threads may go on allocating.
        When the block raises, the capture is ended, what was recorded is dropped and the stream can be used again.
        """
        mode = self.driver.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        graph = Graph(self)
        self.driver.call("cuStreamBeginCapture", self.handle, mode)
        try:
            yield graph
        except BaseException:
            # A capture that was made invalid reports that here, and what made it so is already on its way up.
            result, recorded = self.driver.bindings.cuStreamEndCapture(self.handle)
            if result == self.driver.bindings.CUresult.CUDA_SUCCESS:
                self.driver.call("cuGraphDestroy", recorded)
            raise
        recorded = self.driver.call("cuStreamEndCapture", self.handle)
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
    """A moment on a stream."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.handle = driver.call("cuEventCreate", driver.bindings.CUevent_flags.CU_EVENT_DEFAULT)

    def record(self, stream: Stream) -> None:
        self.driver.call("cuEventRecord", self.handle, stream.handle)

    def seconds_since(self, earlier: Event) -> float:
        """Waits until both moments have passed. The driver resolves about half a microsecond."""
        self.driver.call("cuEventSynchronize", self.handle)
        return float(self.driver.call("cuEventElapsedTime", earlier.handle, self.handle)) / 1e3

    def close(self) -> None:
        self.driver.call("cuEventDestroy", self.handle)


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} and strides {array.strides} is not contiguous")
    return np.asarray(array)
