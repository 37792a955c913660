"""A GPU as the runtime uses it: its primary context, memory and streams, all given back in order.

pycuda has the device, its primary context (the one that TensorRT, PyTorch and every other library use; no other is ever
made) and the memory; `cuda.bindings` has streams, events and graphs, because pycuda's streams have no priority and it
has no graphs. Both packages are imported when a `CudaDevice` is made, never before.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from edgefer.errors import UsageError
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Stream, priority_range
from edgefer.runtime.gpu.cuda_context import PrimaryContext, Release
from edgefer.runtime.gpu.cuda_errors import Translator, load_pycuda
from edgefer.runtime.gpu.cuda_memory import DeviceMemory, HostMemory
from edgefer.runtime.gpu_settings import PRIORITIES, Priority


class CudaDevice:
    """GPU `ordinal`, as CUDA counts them, until `close`.

    Attributes:
        driver: for streams, events, graphs and kernels, where the context is `current`.
        gpu: what launch plans depend on.
        name: what the driver calls the GPU.
        integrated: whether the GPU and the host share their memory, as on a Jetson.

    Without `close` all is released when nothing refers to the device any more, or when the interpreter ends.

    Raises, from every method:
        UsageError: the device was closed.
        DeviceError: the driver refused, or this process was forked from the one that opened the device.
    """

    def __init__(self, ordinal: int = 0, *, pycuda: Any = None, driver: Driver | None = None) -> None:
        """`pycuda` is the module pycuda.driver where it is not to be imported.

        Raises:
            EnvironmentMismatch: cuda-bindings or pycuda is missing or cannot be imported.
            DeviceError: there is no driver or no such GPU, or its context cannot be made.
        """
        self.ordinal = ordinal
        self.driver = Driver() if driver is None else driver
        self.gpu = self.driver.gpu(ordinal)
        self.integrated = self.driver.integrated(ordinal)
        pycuda = load_pycuda() if pycuda is None else pycuda
        with Translator(pycuda, self.driver).guard():
            pycuda.init()
            self.name = str(pycuda.Device(ordinal).name())
        # Last: nothing that can fail comes between the reference and what gives it back.
        self._context = PrimaryContext(pycuda, self.driver, ordinal)
        self._finalizer = weakref.finalize(self, self._context.close)

    @property
    def usable(self) -> bool:
        """Whether it is open, and this is the process that opened it."""
        return self._context.usable

    def current(self) -> PrimaryContext:
        """`with device.current(): ...` makes the GPU's context this thread's current one. It may be nested."""
        return self._context

    def memory(self) -> tuple[int, int]:
        """Free and all memory of the GPU in bytes. Where the host shares it, what the host calls cached is not free."""
        with self._context, self._context.translator.guard():
            free, total = self._context.pycuda.mem_get_info()
        return int(free), int(total)

    def allocate(self, size: int) -> DeviceMemory:
        """`size` bytes of the GPU's memory, their content undefined."""
        return DeviceMemory(self._context, size, self)

    def host(self, shape: Sequence[int], dtype: DTypeLike, *, mapped: bool) -> HostMemory:
        """A page-locked array, from which copies run beside the host's work; `mapped` gives it an address of the GPU,
        which then works on it without a copy."""
        return HostMemory(self._context, shape, dtype, mapped=mapped, owner=self)

    def stream(self, priority: Priority = "normal") -> Stream:
        """A stream, closed with the device. The driver may know fewer levels than three: on most GPUs nothing is below
        "normal".

        Raises:
            UsageError: there is no such priority.
        """
        if priority not in PRIORITIES:
            raise UsageError(f"a stream's priority is one of {', '.join(PRIORITIES)}, not {priority!r}")
        with self._context:
            least, greatest = (0, 0) if priority == "normal" else priority_range(self.driver)
            stream = Stream(self.driver, priority={"low": least, "normal": 0, "high": greatest}[priority])
            self._context.hold(stream.close)
        return stream

    def hold(self, release: Release) -> int:
        """Has `close` call `release` before whatever was made or held earlier, with the context current: for what lives
        in the context and is not of this class, such as engines and graphs. `release` must not refer to the device,
        which would then never be garbage; in a forked process it is not called.

        The number it gives is for `let_go`.
        """
        return self._context.hold(release)

    def let_go(self, key: int) -> None:
        """Calls now what was held; nothing where that is done."""
        self._context.let_go(key)

    def close(self) -> None:
        """Releases all that is open, newest first, then the context; once. Threads that use it are waited for. In a
        process that was forked after the device was opened it touches nothing.

        Raises:
            DeviceError: the driver refused something; all that can be released is. Or a thread does not end to use it.
        """
        self._finalizer()
