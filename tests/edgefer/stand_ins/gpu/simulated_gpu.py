"""A GPU, its driver and its memory, in this process: enough to run what edgefer does and to say what it did wrong.

`SimulatedGpu` is what the three stand-ins share (`simulated_bindings`, `simulated_pycuda`, `simulated_tensorrt`). All
of their calls are in `calls`, in order, with numbers for handles. What would be undefined on a GPU raises `IllegalUse`
and is kept in `violations`, so that nobody can swallow it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from signatures import BINDINGS_ENUMS
from simulated_driver import FUNCTIONS
from simulated_foreign import ForeignArray
from simulated_memory import IllegalUse, Memory
from simulated_rules import CLOSES, NEEDS_NO_CONTEXT, OPENS, PRIMARY, UNSAFE_IN_CAPTURE, Refused
from simulated_streams import Capture, SimulatedEvent, SimulatedGraph, SimulatedStream, Work, collide


@dataclass
class Fault:
    """The next `after` calls succeed, then `times` of them (None: all) give `answer`."""

    answer: Any
    after: int = 0
    times: int | None = None


@dataclass
class KernelEntry:
    structure: type[ctypes.Structure]
    run: Callable[..., None]


@dataclass
class SimulatedGpu:
    """`eager`: work is done as soon as it is put on a stream; else nothing is done before something waits for it.

    `integrated`: GPU and host share memory, as on a Jetson. `total_bytes` is all the memory there is.
    """

    eager: bool = False
    integrated: bool = False
    total_bytes: int = 1 << 30
    name: str = "Simulated Orin"
    compute_capability: tuple[int, int] = (8, 7)
    multiprocessors: int = 16
    shared_bytes: int = 166_912
    gpus: int = 1
    dead: bool = False
    """A kernel has failed: every call in the context gives that error, until the process ends."""

    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    abandoned: list[int] = field(default_factory=list)
    """Streams that were destroyed with work on them that was not done."""
    history: list[tuple[str, str, int]] = field(default_factory=list)
    """("open" or "close", kind, handle or address) of all that has to be given back."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.process = os.getpid()
        self.memory = Memory(self.total_bytes)
        self.initialised = False
        self.retained: dict[int, int] = {}
        self.objects: dict[int, Any] = {}
        self.functions: dict[int, Any] = {}
        self.kernels: dict[str, KernelEntry] = {}
        self.launches: list[tuple[str, tuple[int, ...], bytes]] = []
        self.jit_log = b""
        self._faults: dict[str, Fault] = {}
        self._stacks: dict[int, list[int]] = {}
        self._next = 0x1000
        self.foreign_streams = {number: SimulatedStream(number) for number in (0, 1, 2)}

    # What tests ask

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def count(self, *names: str) -> int:
        return sum(name in names for name, _ in self.calls)

    @contextmanager
    def recording(self) -> Iterator[list[tuple[str, tuple[Any, ...]]]]:
        """The calls made inside of the block."""
        found: list[tuple[str, tuple[Any, ...]]] = []
        start = len(self.calls)
        try:
            yield found
        finally:
            found.extend(self.calls[start:])

    def fail(self, name: str, code: Any = "CUDA_ERROR_UNKNOWN", *, after: int = 0, times: int | None = None) -> None:
        """A fault on demand: a driver's function gives `code`, a method of TensorRT returns `code` (None, False). An
        exception is raised as it is, before the call has done anything: Ctrl-C, for instance.

        The next `after` calls go well, then `times` fail (None: all).
        """
        self._faults[name] = Fault(code, after, times)

    def mend(self, *names: str) -> None:
        """Take faults back; all of them without names."""
        for name in names or tuple(self._faults):
            self._faults.pop(name, None)

    def kernel(self, entry: str, structure: type[ctypes.Structure], run: Callable[..., None]) -> None:
        """What an entry does: `run(gpu, parameters, grid)` when the stream comes to a launch of it."""
        self.kernels[entry] = KernelEntry(structure, run)

    def view(self, address: int, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """The array at an address of the GPU, to be read or written at once."""
        return self.memory.view(address, shape, dtype)

    def open(self) -> dict[str, int]:
        """What was not given back, by kind; empty when all was."""
        found: dict[str, int] = {}
        for each in self.memory.open:
            found[each.kind] = found.get(each.kind, 0) + 1
        for thing in self.objects.values():
            kind = type(thing).__name__.removeprefix("Simulated").lower()
            found[kind] = found.get(kind, 0) + 1
        if sum(self.retained.values()):
            found["context"] = sum(self.retained.values())
        return found

    def assert_clean(self) -> None:
        """Nothing undefined happened, nothing is left, and no thread has a context current."""
        current = {thread: stack for thread, stack in self._stacks.items() if stack}
        for found in (self.violations, self.open(), current):
            assert not found, found

    def busy(self) -> bool:
        """Whether a stream that was made here has work that is not done."""
        return any(stream.queue for stream in self.streams() if stream.handle not in self.foreign_streams)

    def finish(self) -> None:
        """Do all work that is on a stream, as if time had passed."""
        with self.lock:
            for stream in self.streams():
                stream.run_to(stream.given)

    def foreign_array(self, array: npt.NDArray[Any], stream: int | None = None) -> ForeignArray:
        """An array of another library's in this GPU's memory."""
        memory = self.memory.allocate(array.nbytes, "foreign")
        self.view(memory.address, array.shape, array.dtype)[...] = array
        return ForeignArray(self, memory.address, array.shape, array.dtype, stream)

    def foreign_stream(self) -> int:
        """The handle of a stream of another library's."""
        with self.lock:
            handle = self.number()
            self.foreign_streams[handle] = SimulatedStream(handle)
            return handle

    # What the stand-ins use

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """A function of the driver: the name of the error, then what it gives; Nones where it fails."""
        with self.lock:
            self.calls.append((name, arguments))
            try:
                self._allow(name, arguments)
                values = FUNCTIONS[name](self, *arguments)
                if name in OPENS:
                    self.history.append(("open", OPENS[name], values[0]))
                if name in CLOSES:
                    gone = PRIMARY + arguments[0] if name == "cuDevicePrimaryCtxRelease" else arguments[0]
                    self.history.append(("close", CLOSES[name], gone))
                return ("CUDA_SUCCESS", *values)
            except Refused as refused:
                return (str(refused),)
            except IllegalUse as illegal:
                self.violations.append(f"{name}: {illegal}")
                raise

    def fault(self, name: str) -> Fault | None:
        """The fault that a call of that name has now; counts the call."""
        fault = self._faults.get(name)
        if fault is None:
            return None
        if fault.after > 0:
            fault.after -= 1
            return None
        if fault.times is not None:
            if fault.times == 0:
                return None
            fault.times -= 1
        if isinstance(fault.answer, BaseException):
            raise fault.answer
        return fault

    def record(self, name: str, *arguments: Any) -> Fault | None:
        """A call that is not the driver's."""
        with self.lock:
            self.calls.append((name, arguments))
            return self.fault(name)

    def not_needed(self, address: int, what: str) -> None:
        """Note when something goes before a graph that works with it."""
        for each in self.objects.values():
            if isinstance(each, SimulatedGraph) and any(address in work.needs for work in each.work):
                self.violations.append(f"{what} {address:#x} is given back before a graph that works with it")
                return

    def number(self) -> int:
        """One that nothing else has."""
        with self.lock:
            self._next += 0x10
            return self._next

    def handle(self, thing: Any) -> int:
        """Keep something under a new handle."""
        thing.handle = self.number()
        self.objects[thing.handle] = thing
        return int(thing.handle)

    def find(self, handle: int, kind: type[Any]) -> Any:
        """What a handle stands for.

        Raises:
            IllegalUse: it was destroyed, or stands for something else.
        """
        if kind is SimulatedStream and handle in self.foreign_streams:
            return self.foreign_streams[handle]
        found = self.objects.get(handle)
        if type(found) is not kind:
            raise IllegalUse(f"the handle {handle:#x} is no {kind.__name__}, or was destroyed")
        return found

    def stream(self, handle: int) -> SimulatedStream:
        return self.find(handle, SimulatedStream)  # type: ignore[no-any-return]

    def event(self, handle: int) -> SimulatedEvent:
        return self.find(handle, SimulatedEvent)  # type: ignore[no-any-return]

    def graph(self, handle: int) -> SimulatedGraph:
        return self.find(handle, SimulatedGraph)  # type: ignore[no-any-return]

    def streams(self) -> list[SimulatedStream]:
        made = [each for each in self.objects.values() if isinstance(each, SimulatedStream)]
        return [*self.foreign_streams.values(), *made]

    def put(self, stream: SimulatedStream, work: Work) -> None:
        """Work for a stream: recorded where it is being captured, else done now or when somebody waits."""
        with self.lock:
            capture = stream.capture
            if capture is not None and capture.invalid:
                raise Refused("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
            if capture is None:
                collide(stream, self.streams(), work)
            stream.put(work)
            if self.eager and capture is None:
                stream.run_to(stream.given)

    @property
    def stack(self) -> list[int]:
        """This thread's current contexts, the last one on top."""
        return self._stacks.setdefault(threading.get_ident(), [])

    def capturing_here(self) -> Capture | None:
        """The capture that forbids this thread what may not be done in one."""
        thread = threading.get_ident()
        for stream in self.streams():
            capture = stream.capture
            if capture is not None and (capture.thread == thread or not capture.local):
                return capture
        return None

    def _allow(self, name: str, arguments: tuple[Any, ...]) -> None:
        """All that can be wrong before a function does anything."""
        if os.getpid() != self.process:
            raise Refused("CUDA_ERROR_NOT_INITIALIZED")
        fault = self.fault(name)
        if fault is not None:
            assert fault.answer in BINDINGS_ENUMS["CUresult"], fault.answer
            if name == "cuStreamEndCapture":
                self.stream(arguments[0]).capture = None  # it ends, whatever comes of it
            raise Refused(fault.answer)
        if not self.initialised and name not in ("cuInit", "cuDriverGetVersion"):
            raise Refused("CUDA_ERROR_NOT_INITIALIZED")
        if name in NEEDS_NO_CONTEXT:
            return
        if self.dead:
            raise Refused("CUDA_ERROR_ILLEGAL_ADDRESS")
        if not self.stack or not self.retained.get(self.stack[-1] - PRIMARY, 0):
            raise Refused("CUDA_ERROR_INVALID_CONTEXT")
        capture = self.capturing_here()
        if capture is not None and name in UNSAFE_IN_CAPTURE:
            capture.invalid = name
            raise Refused("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
