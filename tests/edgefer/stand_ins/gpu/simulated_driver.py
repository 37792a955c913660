"""What the functions of the driver do on a simulated GPU: all in one table, and here those for devices, contexts,
memory and copies. Each gives the values beside the error code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from signatures import BINDINGS_ENUMS
from simulated_kernels import KERNEL_CALLS
from simulated_memory import Bytes, IllegalUse
from simulated_rules import PRIMARY, Refused
from simulated_stream_calls import STREAM_CALLS
from simulated_streams import Work

if TYPE_CHECKING:
    from simulated_gpu import SimulatedGpu

_DEVICEMAP = 2


def _init(gpu: SimulatedGpu, flags: int) -> tuple[Any, ...]:
    if not gpu.gpus:
        raise Refused("CUDA_ERROR_NO_DEVICE")
    gpu.initialised = True
    return ()


def _device(gpu: SimulatedGpu, ordinal: int) -> tuple[Any, ...]:
    if not 0 <= ordinal < gpu.gpus:
        raise Refused("CUDA_ERROR_INVALID_DEVICE")
    return (ordinal,)


def _attribute(gpu: SimulatedGpu, attribute: int, device: int) -> tuple[Any, ...]:
    known = {
        "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": gpu.multiprocessors,
        "CU_DEVICE_ATTRIBUTE_INTEGRATED": int(gpu.integrated),
        "CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY": 1,
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": gpu.compute_capability[0],
        "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": gpu.compute_capability[1],
        "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": gpu.shared_bytes,
    }
    names = {number: name for name, number in BINDINGS_ENUMS["CUdevice_attribute"].items()}
    return (known[names[int(attribute)]],)


def _retain(gpu: SimulatedGpu, device: int) -> tuple[Any, ...]:
    gpu.retained[device] = gpu.retained.get(device, 0) + 1
    return (PRIMARY + device,)


def _release(gpu: SimulatedGpu, device: int) -> tuple[Any, ...]:
    if not gpu.retained.get(device):
        raise Refused("CUDA_ERROR_INVALID_CONTEXT")
    gpu.retained[device] -= 1
    if not gpu.retained[device] and (gpu.memory.open or gpu.objects):
        # The driver destroys all that is left with the context: whoever gives it back later uses what is gone.
        gpu.violations.append(f"the context was released before {gpu.open()}")
    return ()


def _push(gpu: SimulatedGpu, context: int) -> tuple[Any, ...]:
    if not gpu.retained.get(context - PRIMARY):
        raise Refused("CUDA_ERROR_INVALID_CONTEXT")
    gpu.stack.append(context)
    return ()


def _pop(gpu: SimulatedGpu) -> tuple[Any, ...]:
    if not gpu.stack:
        raise Refused("CUDA_ERROR_INVALID_CONTEXT")
    return (gpu.stack.pop(),)


def _context_device(gpu: SimulatedGpu) -> tuple[Any, ...]:
    return (gpu.stack[-1] - PRIMARY,)


def _allocate(gpu: SimulatedGpu, size: int) -> tuple[Any, ...]:
    if size == 0:
        raise Refused("CUDA_ERROR_INVALID_VALUE")
    try:
        return (gpu.memory.allocate(size).address,)
    except MemoryError:
        raise Refused("CUDA_ERROR_OUT_OF_MEMORY") from None


def _free(gpu: SimulatedGpu, address: int) -> tuple[Any, ...]:
    gpu.not_needed(address, "memory")
    try:
        gpu.memory.free(address)
    except KeyError:
        raise IllegalUse(f"{address:#x} is not memory that is in use") from None
    return ()


def _allocate_host(gpu: SimulatedGpu, size: int, flags: int) -> tuple[Any, ...]:
    if size == 0:
        raise Refused("CUDA_ERROR_INVALID_VALUE")
    try:
        return (gpu.memory.allocate(size, "host", mapped=bool(flags & _DEVICEMAP)).host,)
    except MemoryError:
        raise Refused("CUDA_ERROR_OUT_OF_MEMORY") from None


def _free_host(gpu: SimulatedGpu, address: int) -> tuple[Any, ...]:
    mapped = [each.address for each in gpu.memory.open if each.host == address]
    for each in (address, *mapped):
        gpu.not_needed(each, "host memory")
    try:
        gpu.memory.free(address, host=True)
    except KeyError:
        raise IllegalUse(f"{address:#x} is not host memory that is in use") from None
    return ()


def _device_pointer(gpu: SimulatedGpu, host: int, flags: int) -> tuple[Any, ...]:
    for each in gpu.memory.open:
        if each.host == host and each.address:
            return (each.address,)
    raise Refused("CUDA_ERROR_INVALID_VALUE")


def _pointer(gpu: SimulatedGpu, attribute: int, address: int) -> tuple[Any, ...]:
    begin = gpu.memory.begin(address)
    if not any(begin in (each.address, each.host) and not each.freed for each in gpu.memory.allocations if begin):
        raise Refused("CUDA_ERROR_INVALID_VALUE")
    return (0,)


def _copy(
    gpu: SimulatedGpu, stream: int, ends: tuple[int, int], target: Callable[[], Bytes], source: Callable[[], Bytes]
) -> None:
    target(), source()  # both have to be there when the copy is asked for, and when it is done

    def run() -> None:
        target()[:] = source()

    gpu.put(gpu.stream(stream), Work("copy", run, needs=frozenset(map(gpu.memory.begin, ends))))


def _copy_in(gpu: SimulatedGpu, target: int, source: int, size: int, stream: int) -> tuple[Any, ...]:
    if not gpu.memory.is_pinned(source) and gpu.stream(stream).capture is None:
        staged = gpu.memory.at_host(source, size).copy()  # pageable memory is read before the call returns
        _copy(gpu, stream, (target, source), lambda: gpu.memory.at(target, size), lambda: staged)
    else:
        at, from_host = gpu.memory.at, gpu.memory.at_host
        _copy(gpu, stream, (target, source), lambda: at(target, size), lambda: from_host(source, size))
    return ()


def _copy_out(gpu: SimulatedGpu, target: int, source: int, size: int, stream: int) -> tuple[Any, ...]:
    memory = gpu.memory
    _copy(gpu, stream, (target, source), lambda: memory.at_host(target, size), lambda: memory.at(source, size))
    return ()


def _copy_between(gpu: SimulatedGpu, target: int, source: int, size: int, stream: int) -> tuple[Any, ...]:
    _copy(gpu, stream, (target, source), lambda: gpu.memory.at(target, size), lambda: gpu.memory.at(source, size))
    return ()


def _fill(gpu: SimulatedGpu, target: int, byte: int, size: int, stream: int) -> tuple[Any, ...]:
    gpu.memory.at(target, size)

    def run() -> None:
        gpu.memory.at(target, size)[:] = byte

    gpu.put(gpu.stream(stream), Work("fill", run, needs=frozenset({gpu.memory.begin(target)})))
    return ()


FUNCTIONS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "cuInit": _init,
    "cuDriverGetVersion": lambda gpu: (12060,),
    "cuDeviceGet": _device,
    "cuDeviceGetCount": lambda gpu: (gpu.gpus,),
    "cuDeviceGetName": lambda gpu, length, device: (gpu.name.encode(),),
    "cuDeviceTotalMem": lambda gpu, device: (gpu.total_bytes,),
    "cuDeviceGetAttribute": _attribute,
    "cuDevicePrimaryCtxRetain": _retain,
    "cuDevicePrimaryCtxRelease": _release,
    "cuCtxPushCurrent": _push,
    "cuCtxPopCurrent": _pop,
    "cuCtxGetCurrent": lambda gpu: (gpu.stack[-1] if gpu.stack else 0,),
    "cuCtxGetDevice": _context_device,
    "cuMemGetInfo": lambda gpu: (gpu.memory.total - gpu.memory.used, gpu.memory.total),
    "cuMemAlloc": _allocate,
    "cuMemFree": _free,
    "cuMemHostAlloc": _allocate_host,
    "cuMemFreeHost": _free_host,
    "cuMemHostGetDevicePointer": _device_pointer,
    "cuPointerGetAttribute": _pointer,
    "cuMemcpyHtoDAsync": _copy_in,
    "cuMemcpyDtoHAsync": _copy_out,
    "cuMemcpyDtoDAsync": _copy_between,
    "cuMemsetD8Async": _fill,
    **STREAM_CALLS,
    **KERNEL_CALLS,
}
"""By the names of cuda.bindings.driver."""
