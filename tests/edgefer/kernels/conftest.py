"""A stand-in for cuda.bindings.driver: it records every call, keeps memory, and knows what was never given back."""
# ruff: noqa: N802 - the methods are named after the driver's functions

from __future__ import annotations

import ctypes
import enum
import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edgefer.kernels.cubins import INDEX, Binary, EntryUse, Index


class Result(enum.IntEnum):
    """The driver's error codes, as cuda.h numbers them."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222
    CUDA_ERROR_INVALID_HANDLE = 400
    CUDA_ERROR_ILLEGAL_ADDRESS = 700
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class Names:
    """An enumeration of any names."""

    def __getattr__(self, name: str) -> str:
        return name


ORIN_ATTRIBUTES = {
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": 8,
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": 7,
    "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": 16,
    "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": 166_912,
}

# What opens something, and what closes it.
OPENS = {
    "cuDevicePrimaryCtxRetain": "context",
    "cuModuleLoadDataEx": "module",
    "cuMemAlloc": "memory",
    "cuStreamCreate": "stream",
    "cuStreamEndCapture": "graph",
    "cuGraphInstantiate": "executable",
    "cuEventCreate": "event",
}
CLOSES = {
    "cuDevicePrimaryCtxRelease": "context",
    "cuModuleUnload": "module",
    "cuMemFree": "memory",
    "cuStreamDestroy": "stream",
    "cuGraphDestroy": "graph",
    "cuGraphExecDestroy": "executable",
    "cuEventDestroy": "event",
}


class FakeCuda:
    """`fail` names calls and what they answer. `kernel` is called with a launch's entry and its parameters' address.

    `names` are the calls in order, `calls` with their arguments, `open` what was opened and not closed, by kind.
    """

    CUresult = Result
    CUdevice_attribute = CUjit_option = CUfunction_attribute = CUstream_flags = Names()
    CUstreamCaptureMode = CUevent_flags = Names()

    def __init__(self, kernel: Callable[[str, int], None] | None = None, **fail: Result) -> None:
        self.kernel = kernel
        self.fail = fail
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.open: dict[str, int] = {}
        self.contexts: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.jit_log = b""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def function(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, arguments))
            failed = self.fail.get(name)
            if failed is not None:
                if name == "cuModuleLoadDataEx":
                    log = arguments[3][0]
                    log[: len(self.jit_log)] = self.jit_log
                return (failed, None)[: 2 if name in OPENS or name == "cuCtxGetDevice" else 1]
            values = getattr(self, f"_{name}", lambda *_: ())(*arguments)
            if name in OPENS:
                self.open[OPENS[name]] = self.open.get(OPENS[name], 0) + 1
                values = values or (f"{OPENS[name]} {self.open[OPENS[name]]}",)
            if name in CLOSES:
                self.open[CLOSES[name]] -= 1
            return (Result.CUDA_SUCCESS, *values)

        return function

    def left_open(self) -> dict[str, int]:
        return {kind: count for kind, count in self.open.items() if count}

    def _cuDeviceGet(self, ordinal: int) -> tuple[int]:
        return (ordinal,)

    def _cuDeviceGetAttribute(self, attribute: str, device: int) -> tuple[int]:
        return (ORIN_ATTRIBUTES[attribute],)

    def _cuCtxGetDevice(self) -> tuple[int]:
        return (0,)

    def _cuCtxPushCurrent(self, context: Any) -> tuple[()]:
        self.contexts.append(context)
        return ()

    def _cuCtxPopCurrent(self) -> tuple[Any]:
        return (self.contexts.pop(),)

    def _cuModuleGetFunction(self, module: Any, name: bytes) -> tuple[str]:
        return (name.decode(),)

    def _cuMemAlloc(self, size: int) -> tuple[int]:
        block = (ctypes.c_ubyte * size)()
        address = ctypes.addressof(block)
        self.memory[address] = block
        return (address,)

    def _cuMemFree(self, address: int) -> tuple[()]:
        del self.memory[address]
        return ()

    def _cuMemcpyHtoDAsync(self, address: int, source: int, size: int, stream: Any) -> tuple[()]:
        assert size <= len(self.memory[address])
        ctypes.memmove(address, source, size)
        return ()

    def _cuMemcpyDtoHAsync(self, target: int, address: int, size: int, stream: Any) -> tuple[()]:
        assert size <= len(self.memory[address])
        ctypes.memmove(target, address, size)
        return ()

    def _cuMemsetD8Async(self, address: int, byte: int, size: int, stream: Any) -> tuple[()]:
        assert size <= len(self.memory[address])
        ctypes.memset(address, byte, size)
        return ()

    def _cuEventElapsedTime(self, start: Any, end: Any) -> tuple[float]:
        return (2.5,)

    def _cuLaunchKernel(self, function: str, *rest: Any) -> tuple[()]:
        if self.kernel is not None:
            (pointer,) = (ctypes.c_void_p * 1).from_address(rest[8])
            self.kernel(function, int(pointer))
        return ()


@pytest.fixture
def fake_cuda() -> SimpleNamespace:
    """`fake_cuda.make(kernel, cuMemAlloc=fake_cuda.result.CUDA_ERROR_OUT_OF_MEMORY)`: a driver that answers so."""
    return SimpleNamespace(make=FakeCuda, result=Result)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Binaries with one cubin, for an Orin."""
    raw = b"cubin"
    packed = lzma.compress(raw)
    (tmp_path / "sm_87.cubin.xz").write_bytes(packed)
    binary = Binary(
        file="sm_87.cubin.xz",
        kind="cubin",
        compute_capability="8.7",
        toolkit="12.6.85",
        exact=True,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        raw_bytes=len(raw),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
        entries=tuple(EntryUse(name=name, parameter_bytes=32) for name in ("edgefer_double", "edgefer_add")),
    )
    listed = Index(source_sha256="0" * 64, binaries=(binary,))
    (tmp_path / INDEX).write_bytes(msgspec.json.encode(listed))
    return tmp_path
