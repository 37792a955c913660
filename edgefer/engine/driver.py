"""What the CUDA driver says about this machine, asked through ctypes: no CUDA package is needed and none is imported.

No context is created: `cuInit` and attribute queries only, so that asking costs nothing on the GPU and is safe before
a child process is started.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import msgspec

_COMPUTE_CAPABILITY_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_COMPUTE_CAPABILITY_MINOR = 76
_INTEGRATED = 18
_MULTIPROCESSORS = 16


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU: its name, compute capability such as "8.7", and memory in bytes, which is the host's own where the GPU
    is `integrated`, as on a Jetson. A name need not tell devices apart: every Jetson Orin is "Orin", with 4 to 16
    `multiprocessors`."""

    name: str
    compute_capability: str
    memory_bytes: int
    integrated: bool = False
    multiprocessors: int = 0


class CudaDriver(msgspec.Struct, frozen=True, kw_only=True):
    """The CUDA version that the driver supports such as "12.6" (None: no driver), its GPUs, and what went wrong."""

    version: str | None
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


def cuda_driver(load: Callable[[str], Any] = ctypes.CDLL) -> CudaDriver:
    """Ask the driver for its version and GPUs; a missing or failing driver is an answer (`problem`), not an error."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = load(name)
    except OSError as error:
        return CudaDriver(version=None, problem=f"no CUDA driver: {error}")
    try:
        return _ask(cuda)
    except _DriverError as error:
        return CudaDriver(version=None, problem=str(error))
    except AttributeError as error:
        return CudaDriver(version=None, problem=f"{name} is not a CUDA driver: {error}")


class _DriverError(Exception):
    """A driver call returned something other than CUDA_SUCCESS."""


def _ask(cuda: Any) -> CudaDriver:
    _call(cuda, "cuInit", 0)
    number = ctypes.c_int()
    _call(cuda, "cuDriverGetVersion", ctypes.byref(number))
    version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    count = ctypes.c_int()
    _call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    gpus, problem = [], ""
    for ordinal in range(count.value):
        try:
            gpus.append(_gpu(cuda, ordinal))
        except _DriverError as error:
            problem = f"GPU {ordinal}: {error}"
    return CudaDriver(version=version, gpus=tuple(gpus), problem=problem or ("" if gpus else "the driver sees no GPU"))


def _gpu(cuda: Any, ordinal: int) -> Gpu:
    device = ctypes.c_int()
    _call(cuda, "cuDeviceGet", ctypes.byref(device), ordinal)
    name = ctypes.create_string_buffer(256)
    _call(cuda, "cuDeviceGetName", name, len(name), device)
    memory = ctypes.c_size_t()
    _call(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(minor), _COMPUTE_CAPABILITY_MINOR, device)
    integrated, multiprocessors = ctypes.c_int(), ctypes.c_int()
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(integrated), _INTEGRATED, device)
    _call(cuda, "cuDeviceGetAttribute", ctypes.byref(multiprocessors), _MULTIPROCESSORS, device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        memory_bytes=memory.value,
        integrated=bool(integrated.value),
        multiprocessors=multiprocessors.value,
    )


def _call(cuda: Any, function: str, *arguments: object) -> None:
    code = int(getattr(cuda, function)(*arguments))
    if code:
        text = ctypes.c_char_p()
        known = cuda.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value
        raise _DriverError(f"{function} failed: {text.value.decode() if known and text.value else code}")
