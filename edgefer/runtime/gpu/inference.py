"""One inference made ready to be repeated: a context of TensorRT with its shapes and addresses, and a CUDA graph of it.

The addresses are part of a captured graph and of the context that was captured, so that each inference has a context of
its own, which nothing is changed in afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from edgefer.engine.loaded import LoadedEngine
from edgefer.errors import EdgeferError
from edgefer.kernels.streams import Graph, Stream

Stage = Callable[[Stream], None]
"""Puts work on a stream, the same with every call: it is called once for a graph, or with every enqueue."""


MAKING = threading.RLock()
"""Whoever has it loads an engine, makes an inference and captures it, or gives one back for another: one thread of a
process at a time. Where it loads or makes something TensorRT may wait for the whole GPU, which the driver refuses while
any thread captures, and which ends that capture."""


class Inference:
    """A batch of an engine on one stream, with what comes before it (copies, kernels) and after it.

    Args:
        engine: what is run.
        stream: where; its context is current here and in every method.
        batch: one that the engine has a profile for.
        addresses: of every input and output, in the GPU's memory.
        memory: address of the activation memory, which no inference of another stream may use; None: its own.
        before, after: put on the stream around the engine; None for nothing.
        closed: called when the inference has been given back, for what `before` and `after` have taken.

    Raises:
        EngineIncompatible: TensorRT refused something.
    """

    def __init__(
        self,
        engine: LoadedEngine,
        stream: Stream,
        batch: int,
        addresses: Mapping[str, int],
        *,
        memory: int | None = None,
        before: Stage | None = None,
        after: Stage | None = None,
        closed: Callable[[], None] | None = None,
    ) -> None:
        self.batch = batch
        self._engine, self._stream, self._handle = engine, stream, int(stream.handle)
        self._before, self._after = before, after
        self._graph: Graph | None = None
        self._closed: Callable[[], None] | None = None
        self._context = engine.context(engine.profile_of(batch), stream=self._handle, memory=memory)
        try:
            engine.prepare(self._context, batch, addresses)
        except BaseException:
            self.close()
            raise
        self._closed = closed  # of one that was never there, the caller gives back what it took for it

    @property
    def captured(self) -> bool:
        """Whether `launch` replays a graph."""
        return self._graph is not None

    def enqueue(self) -> None:
        """All of it on the stream, call by call.

        Raises:
            EngineIncompatible: TensorRT refused.
            DeviceError: the driver did.
        """
        if self._before is not None:
            self._before(self._stream)
        # What it returns is looked at inside a capture too: a graph of a failed enqueue would replay nothing, fast.
        if not self._context.execute_async_v3(self._handle):
            raise self._engine.refused("enqueue an inference")
        if self._after is not None:
            self._after(self._stream)

    def capture(self) -> str:
        """Record all of it as a graph, which `launch` replays from now on; empty, or why that could not be done. It has
        to have run once: what TensorRT sets up on the first enqueue may not be set up inside of a capture."""
        try:
            with self._stream.capture() as graph:
                self.enqueue()
        except EdgeferError as error:
            return error.message
        self._graph = graph
        return ""

    def launch(self) -> None:
        """All of it on the stream: one launch of the graph, or as `enqueue` where there is none.

        Raises:
            EngineIncompatible, DeviceError: as `enqueue`.
        """
        if self._graph is None:
            self.enqueue()
        else:
            self._graph.replay()

    def close(self) -> None:
        """Give back the graph, then the context. The stream must have done what was put on it."""
        graph, self._graph = self._graph, None
        closed, self._closed = self._closed, None
        try:
            if graph is not None:
                graph.close()
        finally:
            self._context = None
            if closed is not None:
                closed()
