"""A lane: one stream with buffers and activation memory of its own, on which one inference runs at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy.typing as npt

from edgefer.engine.loaded import LoadedEngine
from edgefer.errors import DeviceError
from edgefer.kernels.streams import Event
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu.buffers import Batch, Buffers
from edgefer.runtime.gpu.inference import MAKING, Inference, Stage
from edgefer.runtime.gpu.inferences import Inferences
from edgefer.runtime.gpu_settings import GpuSettings

Array = npt.NDArray[Any]
ATTEMPTS = 2
"""Captures of an inference before it is enqueued for good: another library that waits for the whole GPU, in any thread,
ends one that would have done."""


class Lane:
    """The GPU's side of one inference at a time; whoever has taken it from its runner is alone with it.

    Everything is allocated here, once, and given back by the device. The device's context is current here and in every
    method, and nothing is on the stream where a method begins, except for what the same taker has put there.

    Args:
        device: the GPU.
        engine: what is run.
        settings: priority, and whether graphs are captured.
        zero_copy: whether the engine works on the host's memory.
        told: hears why a capture was refused.

    Attributes:
        stream: where all of it happens.
        event: recorded behind the last inference that was launched.
        batches: what each batch is fed through.
        counters: how often what was done.

    Raises:
        EngineIncompatible: TensorRT refused something.
        DeviceError: the driver did, or there is not so much memory.
    """

    def __init__(
        self,
        device: CudaDevice,
        engine: LoadedEngine,
        settings: GpuSettings,
        *,
        zero_copy: bool,
        told: Callable[[str], None],
    ) -> None:
        self.engine, self._graphs, self._told = engine, settings.graphs, told
        self.counters = dict.fromkeys(("launches", "enqueues", "captures", "bound", "copied"), 0)
        self.stream = device.stream(settings.priority)
        self.event = Event(device.driver, timing=False)
        device.hold(self.event.close)
        self._arrival = Event(device.driver, timing=False)
        device.hold(self._arrival.close)
        self._buffers = Buffers(device, engine, zero_copy=zero_copy)
        self.batches: dict[int, Batch] = self._buffers.batches
        size = engine.activation_bytes()
        self._activation = None if size is None else device.allocate(size)
        self._inferences = Inferences()
        device.hold(self._inferences.close)
        device.hold(self.stream.wait)  # before all else is given back, nothing may be using it
        self.plain: dict[int, Inference] = {}
        for batch in engine.batches:
            with MAKING:
                self.plain[batch] = self._new(batch, {}, None, None, None)
            self._inferences.keep_for_good(self.plain[batch])

    def inference(
        self,
        batch: int,
        *,
        key: Hashable,
        addresses: Mapping[str, int],
        before: Stage | None = None,
        after: Stage | None = None,
        closed: Callable[[], None] | None = None,
    ) -> Inference:
        """The inference with this key in this batch, made where it is not there: then it runs once call by call, with
        whatever is in its inputs, and is captured.

        Args:
            batch: one of `batches`.
            key: what tells it from others. Of each kind (a tuple's first entry) the last four that were used are kept.
            addresses: of inputs and outputs that are not in the lane's own buffers.
            before: what is put on the stream before the engine; None: the copies of the inputs that are not in
                `addresses`. It should not refer to the device, which could then be given back by `close` alone.
            after: what is put there after it; None: the copies of the outputs to the host.
            closed: called when this inference goes, or when it cannot be made, to give back what `before` works in.

        Raises:
            EngineIncompatible, DeviceError: as `Lane`.
        """
        found = self._inferences.get(batch, key)
        if found is None:
            with MAKING:
                found = self._new(batch, addresses, before, after, closed)
                self._inferences.keep(key, found)
        return found

    def known(self, batch: int, key: Hashable) -> Inference | None:
        """The inference with this key where it is there, which spares making what another would need."""
        return self._inferences.get(batch, key)

    def drop(self, batch: int, key: Hashable) -> None:
        """Give the inference with this key back, where there is one."""
        with MAKING:
            self._inferences.drop(batch, key)

    def dropping(self, batch: int, key: Hashable) -> Callable[[], None]:
        """`drop` as something for the device to hold: it does not refer to the device."""
        return partial(self._inferences.drop, batch, key)

    def launch(self, inference: Inference) -> None:
        """Put an inference of this lane on the stream, and the event behind it."""
        inference.launch()
        self.event.record(self.stream)
        self.counters["launches" if inference.captured else "enqueues"] += 1

    def wait(self) -> None:
        """Until the event has passed."""
        self.event.wait()

    def wait_for(self, producer: int) -> None:
        """Have what is put on the stream from now on wait for the work on another library's stream so far."""
        self._arrival.record(producer)
        self.stream.wait_for(self._arrival)

    def settle(self) -> None:
        """After something went wrong: until nothing is on the stream that would still write to the buffers."""
        with suppress(DeviceError):  # a kernel that failed is why this is called
            self.stream.wait()

    def results(self, batch: int, out: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """The outputs of the last inference, by name: copied into those arrays of `out` that are there, others new."""
        outputs = self.batches[batch].outputs
        if out is None:
            return {name: array.copy() for name, array in outputs}
        results = {}
        for name, array in outputs:
            target = out.get(name)
            if target is None:
                target = array.copy()
            else:
                target[...] = array
            results[name] = target
        return results

    def _new(
        self,
        batch: int,
        addresses: Mapping[str, int],
        before: Stage | None,
        after: Stage | None,
        closed: Callable[[], None] | None,
    ) -> Inference:
        """An inference that has run, and is captured."""
        own = self.batches[batch]
        copied = [name for name, _ in own.inputs if name not in addresses]
        try:
            inference = Inference(
                self.engine,
                self.stream,
                batch,
                {**own.addresses, **addresses},
                memory=None if self._activation is None else self._activation.address,
                before=own.copy_in(copied) if before is None else before,
                after=own.copy_out() if after is None else after,
                closed=closed,
            )
        except BaseException:
            if closed is not None:
                closed()
            raise
        try:
            self._start(inference)
        except BaseException:
            self.settle()
            inference.close()
            raise
        return inference

    def _start(self, inference: Inference) -> None:
        inference.enqueue()
        self.counters["enqueues"] += 1
        self.stream.wait()
        if not self._graphs:
            return
        reason = ""
        for _ in range(ATTEMPTS):
            reason = inference.capture()
            if not reason:
                self.counters["captures"] += 1
                return
            # Whether a refused capture has left everything in order is seen here, not with the first answer.
            inference.enqueue()
            self.counters["enqueues"] += 1
            self.stream.wait()
        self._told(reason)
