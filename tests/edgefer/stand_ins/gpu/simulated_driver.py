"""What the functions of the driver do on a simulated GPU. Each gives the values beside the error code."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signatures import BINDINGS_ENUMS
from simulated_memory import Bytes, IllegalUse
from simulated_streams import Capture, SimulatedEvent, SimulatedGraph, SimulatedStream, Work

if TYPE_CHECKING:
    from simulated_gpu import SimulatedGpu

LOWEST, HIGHEST = 0, -5
"""The range of stream priorities."""
_THREAD_LOCAL = 1
_DEVICEMAP = 2

NEEDS_NO_CONTEXT = frozenset(
    {
        *("cuInit", "cuDriverGetVersion", "cuDeviceGet", "cuDeviceGetCount", "cuDeviceGetName", "cuDeviceTotalMem"),
        *("cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease", "cuCtxPushCurrent"),
        *("cuCtxPopCurrent", "cuCtxGetCurrent"),
        "cuEventQuery",
    }
)
"""Functions that may be called without a current context."""

UNSAFE_IN_CAPTURE = frozenset(
    {
        *("cuMemAlloc", "cuMemFree", "cuMemHostAlloc", "cuMemFreeHost", "cuStreamSynchronize", "cuStreamQuery"),
        *("cuEventSynchronize", "cuEventQuery", "cuCtxSynchronize", "cuModuleLoadDataEx", "cuModuleUnload"),
    }
)
"""Functions that a thread may not call while it captures: the capture is invalid afterwards."""


@dataclass(eq=False)
class SimulatedModule:
    image: bytes
    handle: int = 0


@dataclass(eq=False)
class SimulatedFunction:
    name: str
    module: int


def _refused(code: str) -> Exception:
    from simulated_gpu import Refused

    return Refused(code)


def _init(gpu: SimulatedGpu, flags: int) -> tuple[Any, ...]:
    if not gpu.gpus:
        raise _refused("CUDA_ERROR_NO_DEVICE")
    gpu.initialised = True
    return ()


def _device(gpu: SimulatedGpu, ordinal: int) -> tuple[Any, ...]:
    if not 0 <= ordinal < gpu.gpus:
        raise _refused("CUDA_ERROR_INVALID_DEVICE")
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
    from simulated_gpu import PRIMARY

    gpu.retained[device] = gpu.retained.get(device, 0) + 1
    return (PRIMARY + device,)


def _release(gpu: SimulatedGpu, device: int) -> tuple[Any, ...]:
    if not gpu.retained.get(device):
        raise _refused("CUDA_ERROR_INVALID_CONTEXT")
    gpu.retained[device] -= 1
    if not gpu.retained[device] and (gpu.memory.open or gpu.objects):
        # The driver destroys all that is left with the context: whoever gives it back later uses what is gone.
        gpu.violations.append(f"the context was released before {gpu.open()}")
    return ()


def _push(gpu: SimulatedGpu, context: int) -> tuple[Any, ...]:
    from simulated_gpu import PRIMARY

    if not gpu.retained.get(context - PRIMARY):
        raise _refused("CUDA_ERROR_INVALID_CONTEXT")
    gpu.stack.append(context)
    return ()


def _pop(gpu: SimulatedGpu) -> tuple[Any, ...]:
    if not gpu.stack:
        raise _refused("CUDA_ERROR_INVALID_CONTEXT")
    return (gpu.stack.pop(),)


def _context_device(gpu: SimulatedGpu) -> tuple[Any, ...]:
    from simulated_gpu import PRIMARY

    return (gpu.stack[-1] - PRIMARY,)


def _allocate(gpu: SimulatedGpu, size: int) -> tuple[Any, ...]:
    if size == 0:
        raise _refused("CUDA_ERROR_INVALID_VALUE")
    try:
        return (gpu.memory.allocate(size).address,)
    except MemoryError:
        raise _refused("CUDA_ERROR_OUT_OF_MEMORY") from None


def _free(gpu: SimulatedGpu, address: int) -> tuple[Any, ...]:
    gpu.not_needed(address, "memory")
    try:
        gpu.memory.free(address)
    except KeyError:
        raise IllegalUse(f"{address:#x} is not memory that is in use") from None
    return ()


def _allocate_host(gpu: SimulatedGpu, size: int, flags: int) -> tuple[Any, ...]:
    if size == 0:
        raise _refused("CUDA_ERROR_INVALID_VALUE")
    try:
        return (gpu.memory.allocate(size, "host", mapped=bool(flags & _DEVICEMAP)).host,)
    except MemoryError:
        raise _refused("CUDA_ERROR_OUT_OF_MEMORY") from None


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
    raise _refused("CUDA_ERROR_INVALID_VALUE")


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


def _make_stream(gpu: SimulatedGpu, flags: int, priority: int = 0) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedStream(0, min(max(priority, HIGHEST), LOWEST), flags)),)


def _destroy_stream(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if handle in gpu.foreign_streams:
        raise _refused("CUDA_ERROR_INVALID_HANDLE")
    if stream.queue:
        gpu.abandoned.append(handle)
    del gpu.objects[handle]
    return ()


def _synchronise(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if stream.capture is not None:
        stream.capture.invalid = "cuStreamSynchronize"
        raise _refused("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
    stream.run_to(stream.given)
    return ()


def _synchronise_all(gpu: SimulatedGpu) -> tuple[Any, ...]:
    gpu.finish()
    return ()


def _stream_done(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    if gpu.stream(handle).queue:
        raise _refused("CUDA_ERROR_NOT_READY")
    return ()


def _wait_event(gpu: SimulatedGpu, stream: int, event: int, flags: int) -> tuple[Any, ...]:
    found, waiting = gpu.event(event), gpu.stream(stream)
    if found.captured or waiting.capture is not None:
        if waiting.capture is not None:
            waiting.capture.invalid = "cuStreamWaitEvent"
        raise _refused("CUDA_ERROR_STREAM_CAPTURE_ISOLATION")
    mark = found.mark
    if mark is not None:
        gpu.put(waiting, Work("wait", lambda: mark[0].run_to(mark[1])))
    return ()


def _begin_capture(gpu: SimulatedGpu, handle: int, mode: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if stream.capture is not None or handle in (0, 1):
        raise _refused("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" if handle in (0, 1) else "CUDA_ERROR_ILLEGAL_STATE")
    stream.capture = Capture(threading.get_ident(), int(mode) == _THREAD_LOCAL)
    return ()


def _end_capture(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    capture, stream.capture = stream.capture, None
    if capture is None:
        raise _refused("CUDA_ERROR_ILLEGAL_STATE")
    if capture.invalid:
        raise _refused("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
    return (gpu.handle(SimulatedGraph(0, tuple(capture.work))),)


def _is_capturing(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    capture = gpu.stream(handle).capture
    return (0 if capture is None else 2 if capture.invalid else 1,)


def _make_event(gpu: SimulatedGpu, flags: int) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedEvent(0, flags)),)


def _destroy(kind: type[Any]) -> Callable[..., tuple[Any, ...]]:
    def destroy(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
        gpu.find(handle, kind)
        del gpu.objects[handle]
        return ()

    return destroy


def _record(gpu: SimulatedGpu, event: int, stream: int) -> tuple[Any, ...]:
    found, on = gpu.event(event), gpu.stream(stream)
    found.captured, found.asked = on.capture is not None, 0
    if on.capture is None:
        found.mark = (on, on.given)
    return ()


def _not_captured(gpu: SimulatedGpu, event: int) -> SimulatedEvent:
    found = gpu.event(event)
    if found.captured:
        raise _refused("CUDA_ERROR_CAPTURED_EVENT")
    return found


def _event_done(gpu: SimulatedGpu, event: int) -> tuple[Any, ...]:
    found = _not_captured(gpu, event)
    if not found.happened:
        # Time passes while somebody asks again and again.
        found.asked += 1
        if found.asked == 1:
            raise _refused("CUDA_ERROR_NOT_READY")
        found.reach()
    return ()


def _event_wait(gpu: SimulatedGpu, event: int) -> tuple[Any, ...]:
    _not_captured(gpu, event).reach()
    return ()


def _elapsed(gpu: SimulatedGpu, start: int, end: int) -> tuple[Any, ...]:
    for event in (_not_captured(gpu, start), _not_captured(gpu, end)):
        if event.flags & 2 or event.mark is None:
            raise _refused("CUDA_ERROR_INVALID_HANDLE")
        if not event.happened:
            raise _refused("CUDA_ERROR_NOT_READY")
    return (2.5,)


def _instantiate(gpu: SimulatedGpu, graph: int, flags: int) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedExecutable(0, gpu.graph(graph).work)),)


@dataclass(eq=False)
class SimulatedExecutable(SimulatedGraph):
    """A graph that can be launched."""


def _upload(gpu: SimulatedGpu, executable: int, stream: int) -> tuple[Any, ...]:
    gpu.find(executable, SimulatedExecutable)
    gpu.stream(stream)
    return ()


def _launch_graph(gpu: SimulatedGpu, executable: int, stream: int) -> tuple[Any, ...]:
    graph = gpu.find(executable, SimulatedExecutable)
    graph.launches += 1
    on = gpu.stream(stream)
    for work in graph.work:
        gpu.put(on, work)
    return ()


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
    "cuCtxSynchronize": _synchronise_all,
    "cuCtxGetStreamPriorityRange": lambda gpu: (LOWEST, HIGHEST),
    "cuMemGetInfo": lambda gpu: (gpu.memory.total - gpu.memory.used, gpu.memory.total),
    "cuMemAlloc": _allocate,
    "cuMemFree": _free,
    "cuMemHostAlloc": _allocate_host,
    "cuMemFreeHost": _free_host,
    "cuMemHostGetDevicePointer": _device_pointer,
    "cuMemcpyHtoDAsync": _copy_in,
    "cuMemcpyDtoHAsync": _copy_out,
    "cuMemcpyDtoDAsync": _copy_between,
    "cuMemsetD8Async": _fill,
    "cuStreamCreate": _make_stream,
    "cuStreamCreateWithPriority": _make_stream,
    "cuStreamDestroy": _destroy_stream,
    "cuStreamSynchronize": _synchronise,
    "cuStreamQuery": _stream_done,
    "cuStreamWaitEvent": _wait_event,
    "cuStreamBeginCapture": _begin_capture,
    "cuStreamEndCapture": _end_capture,
    "cuStreamIsCapturing": _is_capturing,
    "cuEventCreate": _make_event,
    "cuEventDestroy": _destroy(SimulatedEvent),
    "cuEventRecord": _record,
    "cuEventQuery": _event_done,
    "cuEventSynchronize": _event_wait,
    "cuEventElapsedTime": _elapsed,
    "cuGraphInstantiate": _instantiate,
    "cuGraphDestroy": _destroy(SimulatedGraph),
    "cuGraphUpload": _upload,
    "cuGraphLaunch": _launch_graph,
    "cuGraphExecDestroy": _destroy(SimulatedExecutable),
    "cuModuleLoadDataEx": _load,
    "cuModuleUnload": _destroy(SimulatedModule),
    "cuModuleGetFunction": _function,
    "cuFuncSetAttribute": _function_call,
    "cuFuncLoad": _function_call,
    "cuLaunchKernel": _launch,
}
"""By the names of cuda.bindings.driver."""
