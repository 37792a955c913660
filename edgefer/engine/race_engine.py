"""An engine on the GPU with its own buffers, for the race: its answers, and replays of one inference as a CUDA graph.

The driver and the module of TensorRT are given, so that tests can put others in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.builder import BuildLog, logger_for
from edgefer.engine.loaded import LoadedEngine
from edgefer.engine.trt_runtime import new_runtime
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Event, Graph, Stream

Array = npt.NDArray[Any]


class RaceEngine:
    """A plan made ready to run: deserialised, with memory for the profile of `batch`. `log` is that of the runtime.

    Raises:
        EngineIncompatible: TensorRT does not take the plan, or not with these shapes; or an enqueue fails.
        DeviceError: the driver refused something.
    """

    def __init__(self, trt: Any, plan: bytes, driver: Driver, *, batch: int, runtime: Any, log: BuildLog) -> None:
        self._driver = driver
        self._engine = LoadedEngine(trt, plan, runtime=runtime, log=log)
        self.stream = Stream(driver)
        self.inputs = [each.name for each in self._engine.inputs]
        self.outputs = [each.name for each in self._engine.outputs]
        # Its activation memory is its own: nobody else's is on this stream that it could share it with.
        profile = self._engine.profile_of(batch)
        self._context = self._engine.context(profile, stream=int(self.stream.handle), memory=None)
        self._buffers: dict[str, tuple[Array, int]] = {}
        for each in (*self._engine.inputs, *self._engine.outputs):
            array = np.zeros(each.shape_at(batch), each.dtype)
            self._buffers[each.name] = (array, driver.allocate(array.nbytes))
        addresses = {name: address for name, (_, address) in self._buffers.items()}
        self._engine.prepare(self._context, batch, addresses)
        self._graph: Graph | None = None
        self._events: tuple[Event, Event] | None = None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One inference without a graph: the outputs by name for the inputs by name, in the batch of the engine."""
        for name in self.inputs:
            array, address = self._buffers[name]
            array[...] = feeds[name]
            self.stream.copy_in(address, array)
        self._enqueue()
        for name in self.outputs:
            array, address = self._buffers[name]
            self.stream.copy_out(array, address)
        self.stream.wait()
        return {name: self._buffers[name][0].copy() for name in self.outputs}

    def capture(self) -> None:
        """Record one inference as a graph. One has to have run before: what is set up on the first enqueue may not be
        set up inside of a capture."""
        with self.stream.capture() as graph:
            self._enqueue()
        self._graph = graph
        self._events = (Event(self._driver), Event(self._driver))

    def replay(self, count: int) -> float:
        """Seconds that `count` inferences take on the GPU, replayed one behind the other from the graph."""
        if self._graph is None or self._events is None:
            raise RuntimeError("an engine is captured before it is replayed")
        begin, end = self._events
        begin.record(self.stream)
        for _ in range(count):
            self._graph.replay()
        end.record(self.stream)
        return end.seconds_since(begin)

    def close(self) -> None:
        """Give back graph, events and memory; the stream is waited for."""
        self.stream.wait()
        for each in (self._graph, *(self._events or ())):
            if each is not None:
                each.close()
        self._driver.free([address for _, address in self._buffers.values()])
        self._context = None
        self._engine.close()

    def _enqueue(self) -> None:
        # What it returns is looked at inside a capture too: a graph of a failed enqueue would replay nothing, fast.
        if not self._context.execute_async_v3(int(self.stream.handle)):
            raise self._engine.refused("enqueue an inference")


def runtime_of(trt: Any, log: BuildLog) -> tuple[Any, Any]:
    """A runtime that writes to `log`, with its logger, which has to live as long. A context of the GPU has to be there
    already, as `new_runtime` says.

    Raises:
        EngineIncompatible: TensorRT gave none.
    """
    logger = logger_for(trt, log)
    return new_runtime(trt, logger, log), logger


def rows(count: int, batch: int) -> Sequence[Array]:
    """The rows of `count` examples in batches; the last example fills the last batch."""
    return [np.minimum(np.arange(start, start + batch), count - 1) for start in range(0, count, batch)]
