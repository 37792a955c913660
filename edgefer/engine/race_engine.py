"""An engine on the GPU with its own buffers, for the race: its answers, and replays of one inference as a CUDA graph.

The driver and the module of TensorRT are given, so that tests can put others in their places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.builder import BuildLog, logger_for
from edgefer.errors import EngineIncompatible
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Event, Graph, Stream

Array = npt.NDArray[Any]


class RaceEngine:
    """A plan made ready to run: deserialised, with memory for its first profile. `log` is that of the runtime.

    Raises:
        EngineIncompatible: TensorRT does not take the plan, or not with these shapes; or an enqueue fails.
        DeviceError: the driver refused something.
    """

    def __init__(self, trt: Any, plan: bytes, driver: Driver, *, batch: int, runtime: Any, log: BuildLog) -> None:
        self._trt, self._driver, self._log = trt, driver, log
        self._engine = self._given(runtime.deserialize_cuda_engine(plan), "take the plan")
        self._context = self._given(self._engine.create_execution_context(), "give an execution context")
        self.stream = Stream(driver)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        self.inputs = [name for name in names if modes[name] == trt.TensorIOMode.INPUT]
        self.outputs = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        for name in self.inputs:
            shape = (batch, *self._engine.get_tensor_shape(name)[1:])
            if not self._context.set_input_shape(name, shape):
                raise self._refused(f"take the shape {list(shape)} for {name}")
        self._buffers: dict[str, tuple[Array, int]] = {}
        for name in names:
            shape = tuple(self._context.get_tensor_shape(name))
            array = np.zeros(shape, trt.nptype(self._engine.get_tensor_dtype(name)))
            address = driver.allocate(array.nbytes)
            self._buffers[name] = (array, address)
            self._context.set_tensor_address(name, address)
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
        self._context = self._engine = None

    def _enqueue(self) -> None:
        # What it returns is looked at inside a capture too: a graph of a failed enqueue would replay nothing, fast.
        if not self._context.execute_async_v3(int(self.stream.handle)):
            raise self._refused("enqueue an inference")

    def _given(self, value: Any, what: str) -> Any:
        if value is None:
            raise self._refused(what)
        return value

    def _refused(self, what: str) -> EngineIncompatible:
        said = self._log.errors[-1] if self._log.errors else "it gave no reason"
        return EngineIncompatible(f"TensorRT did not {what}: {said}", details=self._log.text())


def runtime_of(trt: Any, log: BuildLog) -> tuple[Any, Any]:
    """A runtime that writes to `log`, with its logger, which has to live as long.

    Raises:
        EngineIncompatible: TensorRT gave none.
    """
    logger = logger_for(trt, log)
    runtime = trt.Runtime(logger)
    if runtime is None:
        raise EngineIncompatible("TensorRT gave no runtime", details=log.text())
    return runtime, logger


def rows(count: int, batch: int) -> Sequence[Array]:
    """The rows of `count` examples in batches; the last example fills the last batch."""
    return [np.minimum(np.arange(start, start + batch), count - 1) for start in range(0, count, batch)]
