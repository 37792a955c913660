"""What stands for the module pycuda.driver: the primary context, device and host memory, with pycuda's own habits.

pycuda keeps a stack of contexts of its own, by thread: memory belongs to the context on top of it when it was made,
and is only given back where that context is on top, or in the thread that retained it. A context that is detached in
another thread than that, and not current there, is silently not released.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from signatures import BINDINGS_ENUMS, PYCUDA, PYCUDA_MEMBERS, check
from simulated_errors import error_text
from simulated_gpu import SimulatedGpu

_ERROR_CLASSES = {
    "CUDA_ERROR_OUT_OF_MEMORY": "MemoryError",
    "CUDA_ERROR_LAUNCH_FAILED": "LaunchError",
    "CUDA_ERROR_NO_DEVICE": "RuntimeError",
    "CUDA_ERROR_UNKNOWN": "Error",
}


class _Checked:
    """Calls of a class's methods, checked against the table."""

    _module: SimulatedPycuda

    def _check(self, method: str, *arguments: Any) -> None:
        check(PYCUDA, f"{type(self).__name__}.{method}", arguments, {})


class DeviceAllocation(_Checked):
    def __init__(self, module: SimulatedPycuda, address: int) -> None:
        self._module, self._address = module, address
        self._context = module.on_top()
        self._valid = True

    def __int__(self) -> int:
        return self._address

    __index__ = __int__

    def free(self) -> None:
        self._check("free")
        if not self._valid:
            raise self._module.error("device_allocation::free", "CUDA_ERROR_INVALID_HANDLE")
        self._module.clean_up(self._context, "device_allocation", "cuMemFree", self._address)
        self._valid = False

    def __del__(self) -> None:
        if getattr(self, "_valid", False):
            self.free()


class PagelockedHostAllocation(_Checked):
    __array_interface__: dict[str, Any]

    def __init__(self, module: SimulatedPycuda, address: int) -> None:
        self._module, self._address = module, address
        self._context = module.on_top()
        self._valid = True

    def get_device_pointer(self) -> int:
        self._check("get_device_pointer")
        return int(self._module.call("cuMemHostGetDevicePointer", self._address, 0))

    def free(self) -> None:
        self._check("free")
        if not self._valid:
            raise self._module.error("pagelocked_host_allocation::free", "CUDA_ERROR_INVALID_HANDLE")
        self._module.clean_up(self._context, "pagelocked_host_allocation", "cuMemFreeHost", self._address)
        self._valid = False

    def __del__(self) -> None:
        if getattr(self, "_valid", False):
            self.free()


class Context(_Checked):
    """Made by `Device.retain_primary_context`."""

    def __init__(self, handle: int, device: int) -> None:
        self.handle = handle
        self._device, self._valid = device, True
        self._thread = threading.get_ident()

    def push(self) -> None:
        self._check("push")
        module = self._module
        if module.stack:
            module.call("cuCtxPopCurrent")
        module.call("cuCtxPushCurrent", self.handle)
        module.stack.append(self)

    def detach(self) -> None:
        self._check("detach")
        module = self._module
        if not self._valid:
            raise module.error("context::detach", "CUDA_ERROR_INVALID_CONTEXT", "cannot detach from invalid context")
        active = module.current() is self
        if active:
            module.call_silently("cuDevicePrimaryCtxRelease", self._device)
        elif self._thread == threading.get_ident():
            module.call_silently("cuCtxPushCurrent", self.handle)
            module.call_silently("cuDevicePrimaryCtxRelease", self._device)
        self._valid = False
        if active:
            former = module.current()
            if former is not None:
                module.call("cuCtxPushCurrent", former.handle)

    def __del__(self) -> None:
        if getattr(self, "_valid", False):
            self.detach()


class Device(_Checked):
    def __init__(self, number: int) -> None:
        check(PYCUDA, "Device", (number,), {})
        self._number = int(self._module.call("cuDeviceGet", number))

    def name(self) -> str:
        self._check("name")
        return str(self._module.call("cuDeviceGetName", 1024, self._number).decode())

    def compute_capability(self) -> tuple[int, int]:
        self._check("compute_capability")
        return self._module.gpu.compute_capability

    def total_memory(self) -> int:
        self._check("total_memory")
        return int(self._module.call("cuDeviceTotalMem", self._number))

    def get_attribute(self, attr: Any) -> int:
        self._check("get_attribute", attr)
        return int(self._module.call("cuDeviceGetAttribute", attr.number, self._number))

    def retain_primary_context(self) -> Context:
        self._check("retain_primary_context")
        handle = self._module.call("cuDevicePrimaryCtxRetain", self._number)
        return self._module.Context(handle, self._number)  # type: ignore[no-any-return]


class device_attribute:  # noqa: N801 - pycuda's name
    def __init__(self, name: str) -> None:
        self.name = name
        self.number = BINDINGS_ENUMS["CUdevice_attribute"][f"CU_DEVICE_ATTRIBUTE_{name}"]


class SimulatedPycuda:
    """The module, for one simulated GPU."""

    def __init__(self, gpu: SimulatedGpu) -> None:
        self.gpu = gpu
        self._stacks: dict[int, list[Context]] = {}
        self.Error = type("Error", (Exception,), {"__module__": "pycuda._driver"})
        for name in ("MemoryError", "LogicError", "LaunchError", "RuntimeError"):
            setattr(self, name, type(name, (self.Error,), {"__module__": "pycuda._driver"}))
        named = {name: device_attribute(name) for name in PYCUDA_MEMBERS["device_attribute"]}
        self.device_attribute = SimpleNamespace(**named)
        self.host_alloc_flags = SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)
        self.DeviceAllocation, self.PagelockedHostAllocation = DeviceAllocation, PagelockedHostAllocation
        self.Device = type(
            "Device", (Device,), {"_module": self, "count": staticmethod(self._checked("Device.count", self._count))}
        )
        static: dict[str, Callable[..., Any]] = {
            "pop": self._pop,
            "get_current": self.current,
            "synchronize": lambda: self.call("cuCtxSynchronize"),
            "get_device": lambda: self.Device(self.call("cuCtxGetDevice")),
        }
        checked = {name: staticmethod(self._checked(f"Context.{name}", function)) for name, function in static.items()}
        self.Context = type("Context", (Context,), {"_module": self, **checked})

    def init(self, flags: int = 0) -> None:
        check(PYCUDA, "init", (flags,), {})
        self.call("cuInit", flags)

    def get_version(self) -> tuple[int, int, int]:
        return (12, 6, 0)

    def get_driver_version(self) -> int:
        return int(self.call("cuDriverGetVersion"))

    def mem_alloc(self, bytes: int) -> DeviceAllocation:  # noqa: A002 - pycuda's name
        check(PYCUDA, "mem_alloc", (bytes,), {})
        return DeviceAllocation(self, self.call("cuMemAlloc", bytes))

    def mem_get_info(self) -> tuple[int, int]:
        free, total = self.call("cuMemGetInfo")
        return (free, total)

    def pagelocked_empty(self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> npt.NDArray[Any]:
        check(PYCUDA, "pagelocked_empty", (shape, dtype, order, mem_flags), {})
        kind = np.dtype(dtype)
        dimensions = (shape,) if hasattr(shape, "__index__") else tuple(shape)
        size = int(np.prod(dimensions, dtype=np.int64)) * kind.itemsize
        address = self.call("cuMemHostAlloc", size, mem_flags)
        made = PagelockedHostAllocation(self, address)
        # What `asarray` makes of this is an array whose `base` is the allocation, as that of pycuda's arrays is.
        made.__array_interface__ = {"data": (address, False), "shape": dimensions, "typestr": kind.str, "version": 3}
        return np.asarray(made)

    # What the classes above use

    @property
    def stack(self) -> list[Context]:
        return self._stacks.setdefault(threading.get_ident(), [])

    def current(self) -> Context | None:
        while self.stack:
            if self.stack[-1]._valid:
                return self.stack[-1]
            self.stack.pop()
        return None

    def on_top(self) -> Context:
        found = self.current()
        if found is None:
            raise self.error("explicit_context_dependent", "CUDA_ERROR_INVALID_CONTEXT", "no currently active context?")
        return found

    def call(self, name: str, *arguments: Any) -> Any:
        code, *values = self.gpu.call(name, *arguments)
        if code != "CUDA_SUCCESS":
            raise self.error(name, code)
        return values[0] if len(values) == 1 else tuple(values) or None

    def call_silently(self, name: str, *arguments: Any) -> None:
        """pycuda writes what goes wrong while it cleans up to standard error, and goes on."""
        code, *_ = self.gpu.call(name, *arguments)
        if code != "CUDA_SUCCESS":
            self.gpu.violations.append(f"PyCUDA WARNING: a clean-up operation failed: {name}: {code}")

    def error(self, routine: str, code: str, message: str = "") -> Exception:
        text = f"{routine} failed: {error_text(code)}" + (f" - {message}" if message else "")
        return getattr(self, _ERROR_CLASSES.get(code, "LogicError"))(text)  # type: ignore[no-any-return]

    def clean_up(self, context: Context, kind: str, function: str, address: int) -> None:
        """Give memory back in its context, where that can be made current; with a warning, or silently not, else."""
        if not context._valid:
            return
        if self.current() is context:
            self.call_silently(function, address)
        elif context._thread == threading.get_ident():
            context.push()
            try:
                self.call_silently(function, address)
            finally:
                self.Context.pop()  # type: ignore[attr-defined]
        else:
            warnings.warn(f"{kind} in out-of-thread context could not be cleaned up", stacklevel=3)

    def _count(self) -> int:
        return int(self.call("cuDeviceGetCount"))

    def _pop(self) -> None:
        if not self.stack:
            raise self.error("context::pop", "CUDA_ERROR_INVALID_CONTEXT", "cannot pop non-current context")
        self.call("cuCtxPopCurrent")
        self.stack.pop()
        former = self.current()
        if former is not None:
            self.call("cuCtxPushCurrent", former.handle)

    @staticmethod
    def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any) -> Any:
            check(PYCUDA, name, arguments, {})
            return function(*arguments)

        return checked
