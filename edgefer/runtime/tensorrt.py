"""A graph executed by TensorRT on the GPU: lanes that replay CUDA graphs, and nothing else per inference.

All is by the names of tensors. What one inference costs the host is copying the inputs into memory that the GPU reads,
one launch, waiting for an event, and copying the outputs out.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.loaded import DYNAMIC, LoadedEngine
from edgefer.errors import InputError, UsageError
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.device_array import DeviceArray
from edgefer.runtime.gpu import device_feeds
from edgefer.runtime.gpu.buffers import Batch
from edgefer.runtime.gpu.inferences import KEPT
from edgefer.runtime.gpu.lane import Lane
from edgefer.runtime.gpu.lanes import Lanes
from edgefer.runtime.gpu.submitted import Submitted

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array | DeviceArray]


class TensorRtRunner:
    """Executes an engine. Any number of threads may use it at once; as many run in parallel as there are lanes.

    It has the device from here on, and gives it back with `close`.
    """

    def __init__(
        self, device: CudaDevice, engine: LoadedEngine, lanes: Sequence[Lane], versions: Mapping[str, str]
    ) -> None:
        self.device, self.engine = device, engine
        self._lanes = Lanes(lanes, device.current())
        self._versions = dict(versions)
        self._current = device.current()
        self._bound: OrderedDict[device_feeds.Key, None] = OrderedDict()
        self._binding = threading.Lock()

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All of them; `lane` takes one."""
        return self._lanes.all

    @property
    def versions(self) -> dict[str, str]:
        return self._versions

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        return {
            each.name: tuple(None if axis == DYNAMIC else axis for axis in each.shape) for each in self.engine.inputs
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.engine.outputs)

    @property
    def output_types(self) -> dict[str, np.dtype[Any]]:
        return {each.name: each.dtype for each in self.engine.outputs}

    @property
    def counters(self) -> dict[str, int]:
        """How often what was done, by all lanes: `launches` of a CUDA graph, `enqueues` without one, `captures`, arrays
        in GPU memory that were read where they are (`bound`), and those that were `copied` on the stream."""
        counters: dict[str, int] = {}
        for lane in self.lanes:
            for name, count in lane.counters.items():
                counters[name] = counters.get(name, 0) + count
        return counters

    def run(self, feeds: Feeds, out: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """All outputs by name, for tensors by name that have the graph's shapes, on the host or in GPU memory.

        Those that `out` has are written there and are those arrays, which have the output's shape and type; others are
        new and belong to the caller. With all of them in `out`, nothing is allocated.

        Raises:
            InputError: there is no engine for this batch, or an array in GPU memory is not as it should be.
            EngineIncompatible, DeviceError: TensorRT or the driver refused.
            UsageError: the runner is closed.
        """
        with self._current:  # in a forked process this is the end of it, before any lock
            lane = self._lanes.take()
            try:
                batch = self._start(lane, feeds)
                lane.wait()
                return lane.results(batch, out)
            except BaseException:
                lane.settle()
                raise
            finally:
                self._lanes.give(lane)

    def submit(self, feeds: Feeds, out: Mapping[str, Array] | None = None) -> Submitted:
        """Start an inference and do not wait for it. Arrays of the host have been read on return, and those in GPU
        memory must stay as they are until it is done; `out` is written when the answer is fetched.

        Where all lanes are taken by answers that nobody has fetched, the oldest is fetched first.

        Raises:
            as `run`.
        """
        with self._current:
            lane = self._lanes.take()
            try:
                batch = self._start(lane, feeds)
                submitted = Submitted(lane, batch, out, feeds, current=self._current, fetched=self._lanes.fetched)
            except BaseException:
                lane.settle()
                self._lanes.give(lane)
                raise
            self._lanes.pending(submitted, lane)
            return submitted

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Have inputs read where these arrays are, whenever they are fed from there: captures one inference on every
        lane, with what is in the arrays. The last four sets of addresses are kept.

        Raises:
            InputError: one is no input, or has another shape or type, or its address is not aligned to 256 bytes, or
                is not in this GPU's memory.
            EngineIncompatible, DeviceError: TensorRT or the driver refused.
            UsageError: the runner is closed.
        """
        if not arrays:
            raise InputError("nothing is to be bound", hint=f"the inputs are: {', '.join(self.inputs)}")
        batch = self._batch(self.lanes[0], next(iter(arrays.values())))
        device_feeds.check_bindable(arrays, batch)
        key = device_feeds.key_of(arrays, batch)
        taken: list[Lane] = []
        # All lanes are taken, and no two threads may each have a part of them.
        with self._current, self._binding:
            device_feeds.check_reach(arrays, self.device)
            try:
                while len(taken) < len(self.lanes):
                    taken.append(self._lanes.take(taken))
                self._make_room(key)
                for lane in taken:
                    device_feeds.wait_for_producers(lane, arrays.values())
                    device_feeds.bound_inference(lane, key)
                self._bound[key] = None
                self._bound.move_to_end(key)
            finally:
                for lane in taken:
                    self._lanes.give(lane)

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """A lane for the block alone, in the device's context; when it ends nothing is on the stream.

        Raises:
            UsageError: the runner is closed.
            DeviceError: this process was forked from the one that opened it.
        """
        with self._current:
            lane = self._lanes.take()
            try:
                yield lane
            except BaseException:
                lane.settle()
                raise
            finally:
                self._lanes.give(lane)

    def close(self) -> None:
        """Wait for what runs, fetch what nobody has fetched, and give everything back; once.

        Raises:
            DeviceError: the driver refused something. All that can be given back is.
            UsageError: it is called in the middle of one of this thread's own inferences, which it would wait for.
        """
        if not self.device.usable:
            self.device.close()  # closed already, or of another process, which waits for its own lanes
            return
        if self._current.depth:
            raise UsageError(
                "the session is closed in the middle of one of this thread's own inferences",
                hint="a handler of a signal should raise or note it, and leave the closing to what it interrupts",
            )
        if self._lanes.close():
            self.device.close()

    def _start(self, lane: Lane, feeds: Feeds) -> int:
        """Put an inference on the lane's stream; its batch."""
        batch = self._batch(lane, next(iter(feeds.values()), None))
        for name, array in batch.inputs:
            value = feeds[name]
            if isinstance(value, DeviceArray):
                device_feeds.start(lane, batch, feeds, self._bound)
                return batch.size
            array[...] = value
        lane.launch(lane.plain[batch.size])
        return batch.size

    def _batch(self, lane: Lane, value: Array | DeviceArray | None) -> Batch:
        size = self.engine.batches[0] if value is None or not value.shape else value.shape[0]
        found = lane.batches.get(size)
        if found is None:
            raise InputError(
                f"the tensors have the batch {size}, and the engine was built for "
                f"{', '.join(map(str, self.engine.batches))}"
            )
        return found

    def _make_room(self, key: device_feeds.Key) -> None:
        """Have the oldest set go before this one comes: a lane would drop the one that it has not used for longest, and
        capture it anew in the middle of its next inference."""
        while key not in self._bound and len(self._bound) >= KEPT:
            oldest, _ = self._bound.popitem(last=False)
            for lane in self.lanes:
                lane.drop(oldest[0], ("bound", oldest))
