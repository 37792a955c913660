"""What the functions for streams, events and graphs do on a simulated GPU: the values beside the error code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulated_rules import HIGHEST, LOWEST, Refused
from simulated_streams import Capture, SimulatedEvent, SimulatedExecutable, SimulatedGraph, SimulatedStream, Work

if TYPE_CHECKING:
    from simulated_gpu import SimulatedGpu

_THREAD_LOCAL = 1


def _make_stream(gpu: SimulatedGpu, flags: int, priority: int = 0) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedStream(0, min(max(priority, HIGHEST), LOWEST), flags)),)


def _destroy_stream(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if handle in gpu.foreign_streams:
        raise Refused("CUDA_ERROR_INVALID_HANDLE")
    if stream.queue:
        gpu.abandoned.append(handle)
    del gpu.objects[handle]
    return ()


def _synchronise(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if stream.capture is not None:
        stream.capture.invalid = "cuStreamSynchronize"
        raise Refused("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
    stream.run_to(stream.given)
    return ()


def _synchronise_all(gpu: SimulatedGpu) -> tuple[Any, ...]:
    gpu.finish()
    return ()


def _stream_done(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    if gpu.stream(handle).queue:
        raise Refused("CUDA_ERROR_NOT_READY")
    return ()


def _wait_event(gpu: SimulatedGpu, stream: int, event: int, flags: int) -> tuple[Any, ...]:
    found, waiting = gpu.event(event), gpu.stream(stream)
    if found.captured or waiting.capture is not None:
        if waiting.capture is not None:
            waiting.capture.invalid = "cuStreamWaitEvent"
        raise Refused("CUDA_ERROR_STREAM_CAPTURE_ISOLATION")
    mark = found.mark
    if mark is not None:
        gpu.put(waiting, Work("wait", lambda: mark[0].run_to(mark[1])))
    return ()


def _begin_capture(gpu: SimulatedGpu, handle: int, mode: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    if stream.capture is not None or handle in (0, 1):
        raise Refused("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" if handle in (0, 1) else "CUDA_ERROR_ILLEGAL_STATE")
    stream.capture = Capture(threading.get_ident(), int(mode) == _THREAD_LOCAL)
    return ()


def _end_capture(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    stream = gpu.stream(handle)
    capture, stream.capture = stream.capture, None
    if capture is None:
        raise Refused("CUDA_ERROR_ILLEGAL_STATE")
    if capture.invalid:
        raise Refused("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
    return (gpu.handle(SimulatedGraph(0, tuple(capture.work))),)


def _is_capturing(gpu: SimulatedGpu, handle: int) -> tuple[Any, ...]:
    capture = gpu.stream(handle).capture
    return (0 if capture is None else 2 if capture.invalid else 1,)


def _make_event(gpu: SimulatedGpu, flags: int) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedEvent(0, flags)),)


def destroyed(kind: type[Any]) -> Callable[..., tuple[Any, ...]]:
    """The function that destroys what a handle of that kind stands for."""

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
        raise Refused("CUDA_ERROR_CAPTURED_EVENT")
    return found


def _event_done(gpu: SimulatedGpu, event: int) -> tuple[Any, ...]:
    found = _not_captured(gpu, event)
    if not found.happened:
        # Time passes while somebody asks again and again.
        found.asked += 1
        if found.asked == 1:
            raise Refused("CUDA_ERROR_NOT_READY")
        found.reach()
    return ()


def _event_wait(gpu: SimulatedGpu, event: int) -> tuple[Any, ...]:
    _not_captured(gpu, event).reach()
    return ()


def _elapsed(gpu: SimulatedGpu, start: int, end: int) -> tuple[Any, ...]:
    for event in (_not_captured(gpu, start), _not_captured(gpu, end)):
        if event.flags & 2 or event.mark is None:
            raise Refused("CUDA_ERROR_INVALID_HANDLE")
        if not event.happened:
            raise Refused("CUDA_ERROR_NOT_READY")
    return (2.5,)


def _instantiate(gpu: SimulatedGpu, graph: int, flags: int) -> tuple[Any, ...]:
    return (gpu.handle(SimulatedExecutable(0, gpu.graph(graph).work)),)


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


STREAM_CALLS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "cuCtxSynchronize": _synchronise_all,
    "cuCtxGetStreamPriorityRange": lambda gpu: (LOWEST, HIGHEST),
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
    "cuEventDestroy": destroyed(SimulatedEvent),
    "cuEventRecord": _record,
    "cuEventQuery": _event_done,
    "cuEventSynchronize": _event_wait,
    "cuEventElapsedTime": _elapsed,
    "cuGraphInstantiate": _instantiate,
    "cuGraphDestroy": destroyed(SimulatedGraph),
    "cuGraphUpload": _upload,
    "cuGraphLaunch": _launch_graph,
    "cuGraphExecDestroy": destroyed(SimulatedExecutable),
}
"""By the names of cuda.bindings.driver."""
