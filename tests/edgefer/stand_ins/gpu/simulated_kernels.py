"""What the functions for modules and kernels do on a simulated GPU: the values beside the error code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulated_memory import IllegalUse
from simulated_stream_calls import destroyed
from simulated_streams import Work

if TYPE_CHECKING:
    from simulated_gpu import SimulatedGpu


@dataclass(eq=False)
class SimulatedModule:
    image: bytes
    handle: int = 0


@dataclass(eq=False)
class SimulatedFunction:
    name: str
    module: int


def _load(gpu: SimulatedGpu, image: bytes, count: int, options: Any, values: Any) -> tuple[Any, ...]:
    values[0][: len(gpu.jit_log)] = gpu.jit_log
    return (gpu.handle(SimulatedModule(bytes(image))),)


def _function(gpu: SimulatedGpu, module: int, name: bytes) -> tuple[Any, ...]:
    gpu.find(module, SimulatedModule)
    # Functions go with their module and have no destructor, so they are not among what is to be given back.
    found = SimulatedFunction(name.decode(), module)
    handle = gpu.handle(found)
    gpu.functions[handle] = gpu.objects.pop(handle)
    return (handle,)


def _live_function(gpu: SimulatedGpu, handle: int) -> SimulatedFunction:
    found: SimulatedFunction | None = gpu.functions.get(handle)
    if found is None or found.module not in gpu.objects:
        raise IllegalUse(f"the handle {handle:#x} is no function, or its module was unloaded")
    return found


def _function_call(gpu: SimulatedGpu, handle: int, *arguments: Any) -> tuple[Any, ...]:
    _live_function(gpu, handle)
    return ()


def _launch(gpu: SimulatedGpu, handle: int, *arguments: Any) -> tuple[Any, ...]:
    name, grid = _live_function(gpu, handle).name, arguments[:3]
    stream, parameters = gpu.stream(arguments[7]), arguments[8]
    entry = gpu.kernels.get(name)
    packed = b""
    if entry is not None:
        # The driver copies the parameters before the call returns.
        packed = ctypes.string_at(ctypes.c_void_p.from_address(parameters).value or 0, ctypes.sizeof(entry.structure))

    def run() -> None:
        _live_function(gpu, handle)
        if entry is not None:
            entry.run(gpu, entry.structure.from_buffer_copy(packed), grid)

    gpu.launches.append((name, grid, packed))
    gpu.put(stream, Work(name, run))
    return ()


KERNEL_CALLS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "cuModuleLoadDataEx": _load,
    "cuModuleUnload": destroyed(SimulatedModule),
    "cuModuleGetFunction": _function,
    "cuFuncSetAttribute": _function_call,
    "cuFuncLoad": _function_call,
    "cuLaunchKernel": _launch,
}
"""By the names of cuda.bindings.driver."""
