"""The GPU under test: its kernels, one stream, and memory that is given back at the end."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_check.result import Device
from edgefer.kernels import cubins
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import UNWRITTEN, Kernels
from edgefer.kernels.plan import Launch, Plan, fill
from edgefer.kernels.preprocess import TILE
from edgefer.kernels.streams import Event, Graph, Stream
from kernels.cases.case import Buffer, Memory

EMPTY = Plan((Launch("edgefer_preprocess_f32n", (1, 1, 1), TILE[0] * TILE[1]),), {"height": 0, "width": 0})
"""A launch that does nothing: an input without pixels."""


class Gpu:
    """Kernels, stream and clock of one device, with its context current. Made by `opened`."""

    def __init__(self, kernels: Kernels, stream: Stream) -> None:
        self.kernels, self.stream, self.driver = kernels, stream, kernels.driver
        self.device = _described(kernels)
        self.seconds = 0.0
        """On the GPU, of all replays so far: a clock that stands still while nothing is measured."""

    def now(self) -> float:
        return self.seconds

    def run(
        self, plan: Plan, structure: type[ctypes.Structure], inputs: Memory, outputs: Mapping[str, Buffer]
    ) -> dict[str, NDArray[Any]]:
        """As `kernels.cases.case.Machine` has it."""
        return self.kernels.run(plan, structure, inputs, outputs)

    @contextmanager
    def memory(self, size: int) -> Iterator[int]:
        """The address of `size` bytes."""
        address = self.driver.allocate(size)
        try:
            yield address
        finally:
            self.driver.free([address])

    @contextmanager
    def captured(self, put: Callable[[], object]) -> Iterator[Replay]:
        """What `put` puts on the stream, as a graph."""
        with self.stream.capture() as graph:
            put()
        events = (Event(self.driver), Event(self.driver))
        try:
            yield Replay(self, graph, events)
        finally:
            self.stream.wait()
            graph.close()
            for event in events:
                event.close()


class Replay:
    """A call replays a graph and waits for it; the time that the GPU took is added to its clock.

    The same graph goes in front of the one that is timed. With an idle GPU the first event would have passed before the
    host comes to the launch, and the time between the two would be the host's in part.
    """

    def __init__(self, gpu: Gpu, graph: Graph, events: tuple[Event, Event]) -> None:
        self._gpu, self._graph, self._events = gpu, graph, events

    def __call__(self) -> None:
        begin, end = self._events
        self._graph.replay()
        begin.record(self._gpu.stream)
        self._graph.replay()
        end.record(self._gpu.stream)
        self._gpu.seconds += end.seconds_since(begin)

    def once(self) -> None:
        """Replay it a single time, for what it writes."""
        self._graph.replay()
        self._gpu.stream.wait()


class Bound:
    """A plan with memory on the GPU, ready to be launched any number of times."""

    def __init__(
        self, gpu: Gpu, plan: Plan, structure: type[ctypes.Structure], inputs: Memory, outputs: Mapping[str, Buffer]
    ) -> None:
        self._gpu, self._plan, self._outputs = gpu, plan, outputs
        self._undo = ExitStack()
        self.addresses: dict[str, int] = {}
        try:
            for name, array in inputs.items():
                self._take(name, array.nbytes)
                gpu.stream.copy_in(self.addresses[name], np.ascontiguousarray(array))
            gpu.stream.wait()
            self._sizes = {
                name: int(np.prod(buffer.shape)) * np.dtype(buffer.dtype).itemsize for name, buffer in outputs.items()
            }
            if plan.workspace_bytes:
                self._sizes["workspace"] = plan.workspace_bytes
            for name, size in self._sizes.items():
                self._take(name, size)
        except BaseException:
            self._undo.close()
            raise
        self._structure = fill(structure, plan, self.addresses)
        self.forget()

    def __enter__(self) -> Bound:
        return self

    def __exit__(self, *_: object) -> None:
        self._gpu.stream.wait()
        self._undo.close()

    def launch(self) -> None:
        """Puts the plan's launches on the stream."""
        self._gpu.kernels.launch(self._plan, self._structure, self._gpu.stream.handle)

    def forget(self) -> None:
        """Fills outputs and workspace with what no kernel writes."""
        for name, size in self._sizes.items():
            self._gpu.stream.fill(self.addresses[name], UNWRITTEN, size)

    def read(self) -> dict[str, NDArray[Any]]:
        """The outputs, after all that was put on the stream."""
        found = {name: np.empty(buffer.shape, buffer.dtype) for name, buffer in self._outputs.items()}
        for name, array in found.items():
            self._gpu.stream.copy_out(array, self.addresses[name])
        self._gpu.stream.wait()
        return found

    def _take(self, name: str, size: int) -> None:
        self.addresses[name] = self._undo.enter_context(self._gpu.memory(size))


@contextmanager
def opened(driver: Driver | None = None, folder: Path = cubins.FOLDER) -> Iterator[Gpu]:
    """The first device, its context current.

    Raises:
        DeviceError: there is no GPU, or its driver refused something.
        EnvironmentMismatch: the bindings of the driver, or the kernels' binaries, are missing.
    """
    kernels = Kernels(driver=driver, folder=folder)
    try:
        with kernels.driver.current(kernels.context), Stream(kernels.driver) as stream:
            yield Gpu(kernels, stream)
    finally:
        kernels.close()


def _described(kernels: Kernels) -> Device:
    driver = kernels.driver
    handle = driver.call("cuDeviceGet", kernels.device)
    name = driver.call("cuDeviceGetName", 256, handle)
    version = int(driver.call("cuDriverGetVersion"))
    attribute = driver.bindings.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    return Device(
        name=bytes(name).split(b"\0", 1)[0].decode(errors="replace"),
        compute_capability=kernels.gpu.compute_capability,
        multiprocessors=kernels.gpu.multiprocessors,
        l2_bytes=int(driver.call("cuDeviceGetAttribute", attribute, handle)),
        memory_bytes=int(driver.call("cuDeviceTotalMem", handle)),
        driver=f"{version // 1000}.{version % 1000 // 10}",
        binary=kernels.binary.file,
        toolkit=kernels.binary.toolkit,
    )
