"""A driver whose GPU is the host: real memory, a made-up clock, and kernels that the emulator runs, where there is one.

It stands in for the module cuda.bindings.driver.
"""
# ruff: noqa: N802 - the methods are named after the driver's functions

from __future__ import annotations

import ctypes
import enum
import hashlib
import lzma
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gpu_check.figures import Care
from edgefer.kernels.cubins import INDEX, Binary, EntryUse, Index
from edgefer.kernels.entries import ENTRIES
from edgefer.kernels.plan import HOPPER, Launch
from kernels.tools.emulator import Emulator

LAUNCH_SECONDS, BYTES_PER_SECOND = 2e-6, 1e12
HOST_SECONDS = 9e-6
"""What a launch takes the host, while which an idle GPU waits."""
L2_BYTES, MEMORY_BYTES = 1 << 16, 1 << 24
CARE = Care(rounds=8, repeats=4, warm_ups=4)


class Result(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_IMAGE = 200
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class _Names:
    def __getattr__(self, name: str) -> str:
        return name


class FakeGpu:
    """`emulator` runs the kernels on this GPU's memory; without one they compute nothing.

    `broken` names calls that fail, and with what; `seconds` is what the GPU has worked so far.
    """

    CUresult = Result
    CUdevice_attribute = CUjit_option = CUfunction_attribute = CUstream_flags = _Names()
    CUstreamCaptureMode = CUevent_flags = _Names()

    def __init__(self, emulator: Emulator | None = None) -> None:
        self.emulator = emulator
        self.broken: dict[str, Result] = {}
        self.seconds = 0.0
        self.memory: dict[int, Any] = {}
        self.graphs_open = self.events_open = 0
        self.idle = True
        self._recorded: list[Callable[[], None]] | None = None

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def function(*arguments: Any) -> tuple[Any, ...]:
            if name in self.broken:
                return (self.broken[name], None)
            return (Result.CUDA_SUCCESS, *(getattr(self, f"_{name}", lambda *_: ())(*arguments) or ()))

        return function

    def _put(self, work: Callable[[], None], seconds: float) -> None:
        def timed() -> None:
            work()
            self.seconds += seconds

        if self._recorded is None:
            timed()
        else:
            self._recorded.append(timed)

    def _cuDeviceGet(self, ordinal: int) -> tuple[int]:
        return (ordinal,)

    def _cuDeviceGetName(self, length: int, device: int) -> tuple[bytes]:
        return (b"Imitation H0".ljust(length, b"\0"),)

    def _cuDriverGetVersion(self) -> tuple[int]:
        return (13_010,)

    def _cuDeviceTotalMem(self, device: int) -> tuple[int]:
        return (MEMORY_BYTES,)

    def _cuDeviceGetAttribute(self, attribute: str, device: int) -> tuple[int]:
        major, minor = HOPPER.compute_capability.split(".")
        return (
            {
                "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": int(major),
                "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": int(minor),
                "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": HOPPER.multiprocessors,
                "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": HOPPER.shared_bytes,
                "CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE": L2_BYTES,
            }[attribute],
        )

    def _cuDevicePrimaryCtxRetain(self, device: int) -> tuple[str]:
        return ("context",)

    def _cuCtxPopCurrent(self) -> tuple[str]:
        return ("context",)

    def _cuModuleLoadDataEx(self, *_: Any) -> tuple[str]:
        return ("module",)

    def _cuModuleGetFunction(self, module: Any, name: bytes) -> tuple[str]:
        return (name.decode(),)

    def _cuFuncGetAttribute(self, attribute: str, function: str) -> tuple[int]:
        return (0,)

    def _cuMemAlloc(self, size: int) -> tuple[int]:
        block = (ctypes.c_ubyte * (size + 256))()
        address = -(-ctypes.addressof(block) // 256) * 256
        self.memory[address] = block
        return (address,)

    def _cuMemFree(self, address: int) -> None:
        del self.memory[address]

    def _cuStreamCreate(self, flags: str) -> tuple[int]:
        return (7,)

    def _cuMemcpyHtoDAsync(self, address: int, source: int, size: int, stream: Any) -> None:
        ctypes.memmove(address, source, size)

    def _cuMemcpyDtoHAsync(self, target: int, address: int, size: int, stream: Any) -> None:
        ctypes.memmove(target, address, size)

    def _cuMemcpyDtoDAsync(self, target: int, source: int, size: int, stream: Any) -> None:
        self._put(lambda: ctypes.memmove(target, source, size) and None, 2 * size / BYTES_PER_SECOND)

    def _cuMemsetD8Async(self, address: int, byte: int, size: int, stream: Any) -> None:
        self._put(lambda: ctypes.memset(address, byte, size) and None, size / BYTES_PER_SECOND)

    def _cuLaunchKernel(self, function: str, *rest: Any) -> None:
        (grid, block, shared), (pointer,) = (rest[:3], rest[3], rest[6]), (ctypes.c_void_p * 1).from_address(rest[8])
        emulator = self.emulator
        if emulator is None:
            self._put(lambda: None, LAUNCH_SECONDS)
            return
        # As the driver does it: a captured launch keeps the parameters that it was given.
        size = emulator._kernels[function].parameter_bytes
        parameters = (ctypes.c_char * size).from_buffer_copy(ctypes.string_at(int(pointer), size))
        launch = Launch(function, grid, block, shared)
        self._put(lambda: emulator._launch(launch, parameters, {}, {}, ("forward", 0)), LAUNCH_SECONDS)

    def _cuStreamBeginCapture(self, stream: Any, mode: str) -> None:
        self._recorded = []

    def _cuStreamEndCapture(self, stream: Any) -> tuple[Any]:
        recorded, self._recorded = self._recorded, None
        return (recorded,)

    def _cuGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any]:
        self.graphs_open += 1
        return (graph,)

    def _cuGraphExecDestroy(self, graph: Any) -> None:
        self.graphs_open -= 1

    def _cuStreamSynchronize(self, stream: Any) -> None:
        self.idle = True

    def _cuEventSynchronize(self, event: Any) -> None:
        self.idle = True

    def _cuGraphLaunch(self, graph: Iterable[Callable[[], None]], stream: Any) -> None:
        if self.idle:  # events have passed, and the clock goes on until the host comes to this
            self.seconds += HOST_SECONDS
        self.idle = False
        for work in graph:
            work()

    def _cuEventCreate(self, flags: str) -> tuple[list[float]]:
        self.events_open += 1
        return ([0.0],)

    def _cuEventDestroy(self, event: Any) -> None:
        self.events_open -= 1

    def _cuEventRecord(self, event: list[float], stream: Any) -> None:
        event[0] = self.seconds

    def _cuEventElapsedTime(self, begin: list[float], end: list[float]) -> tuple[float]:
        return ((end[0] - begin[0]) * 1e3,)


def binaries(folder: Path) -> Path:
    """A folder of binaries with all entries: a cubin for Hopper, PTX, and a cubin for another GPU."""
    listed = []
    for file, kind, capability, exact in (
        ("sm_90.cubin.xz", "cubin", "9.0", False),
        ("compute_80.ptx.xz", "ptx", "8.0", False),
        ("sm_87.cubin.xz", "cubin", "8.7", True),
    ):
        raw = file.encode()
        packed = lzma.compress(raw)
        (folder / file).write_bytes(packed)
        listed.append(
            Binary(
                file=file,
                kind=kind,  # type: ignore[arg-type]
                compute_capability=capability,
                toolkit="12.6.85",
                exact=exact,
                bytes=len(packed),
                sha256=hashlib.sha256(packed).hexdigest(),
                raw_bytes=len(raw),
                raw_sha256=hashlib.sha256(raw).hexdigest(),
                entries=tuple(EntryUse(name=name, parameter_bytes=0) for name in ENTRIES),
            )
        )
    index = Index(source_sha256="0" * 64, binaries=tuple(listed))
    (folder / INDEX).write_bytes(msgspec.json.encode(index))
    return folder
