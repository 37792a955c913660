"""The simulation of a GPU: that it does what a GPU does, and says what would be wrong on one."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signatures import BINDINGS, BINDINGS_ENUMS, PYCUDA, TENSORRT, TENSORRT_OPTIONAL, check, parameters
from simulated_driver import FUNCTIONS
from simulated_gpu import PRIMARY
from simulated_memory import IllegalUse
from simulated_tensorrt import EngineSpec, ILogger
from simulation import Simulation, simulate

import edgefer

DOUBLE = EngineSpec(
    {"x": ((-1, 4), "float32")}, {"y": ((-1, 4), "float32")}, lambda feeds: {"y": 2 * feeds["x"]}, batches=(1, 4)
)


class Log(ILogger):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def log(self, severity: Any, msg: str) -> None:
        self.lines.append(msg)


@pytest.fixture
def simulation() -> Simulation:
    """With the primary context retained and current."""
    made = simulate()
    ready(made)
    return made


def ready(simulation: Simulation) -> None:
    do(simulation, "cuInit", 0)
    do(simulation, "cuDevicePrimaryCtxRetain", 0)
    do(simulation, "cuCtxPushCurrent", PRIMARY)


def do(simulation: Simulation, name: str, *arguments: Any) -> Any:
    result, *values = getattr(simulation.bindings, name)(*arguments)
    assert result == 0, result
    return int(values[0]) if values else None


def refused(simulation: Simulation, name: str, *arguments: Any) -> str:
    return str(getattr(simulation.bindings, name)(*arguments)[0].name)


def local(simulation: Simulation) -> Any:
    return simulation.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


def context_of(simulation: Simulation, spec: EngineSpec = DOUBLE, batch: int = 1) -> tuple[Any, int, int, Log]:
    """A context with addresses, and these."""
    log = Log()
    engine = simulation.trt.Runtime(log).deserialize_cuda_engine(simulation.trt.plan("double", spec))
    context = engine.create_execution_context()
    assert context.set_optimization_profile_async(spec.batches.index(batch), 0)
    assert context.set_input_shape("x", (batch, 4))
    x, y = (do(simulation, "cuMemAlloc", 16 * batch) for _ in range(2))
    assert context.set_tensor_address("x", x)
    assert context.set_tensor_address("y", y)
    return context, x, y, log


def test_every_function_of_the_table_is_simulated_and_no_other() -> None:
    assert set(BINDINGS) - {"cuGetErrorName", "cuGetErrorString"} == set(FUNCTIONS)
    simulation = simulate()
    for name in PYCUDA:
        owner, _, method = name.rpartition(".")
        assert callable(getattr(getattr(simulation.pycuda, owner) if owner else simulation.pycuda, method)), name
    ready(simulation)
    context, *_ = context_of(simulation)
    parts = {"Runtime": context._engine._runtime, "ICudaEngine": context._engine, "IExecutionContext": context}
    for name in TENSORRT:
        owner, _, method = name.rpartition(".")
        assert callable(getattr(parts.get(owner, simulation.trt), method)), name


def test_whatever_the_runtime_calls_of_the_driver_is_in_the_table() -> None:
    package = Path(edgefer.__file__).parent
    sources = [*package.glob("kernels/*.py"), *package.glob("runtime/**/*.py")]
    called = {name for path in sources for name in re.findall(r"\bcu[A-Z]\w+", path.read_text(encoding="utf-8"))}
    assert len(called) > 20
    assert called <= set(BINDINGS)


def test_the_enumerations_have_the_numbers_of_the_real_bindings() -> None:
    real = pytest.importorskip("cuda.bindings.driver")
    for name, members in BINDINGS_ENUMS.items():
        assert {member: int(getattr(getattr(real, name), member)) for member in members} == dict(members)


@pytest.mark.parametrize(
    ("table", "name", "arguments", "named"),
    [
        (BINDINGS, "cuMemAlloc", (), {}),
        (BINDINGS, "cuMemAlloc", (1, 2), {}),
        (BINDINGS, "cuMemAlloc", (-1,), {}),
        (BINDINGS, "cuMemAlloc", (), {"size": 4}),
        (BINDINGS, "cuMemAlloc", (1.5,), {}),
        (BINDINGS, "cuStreamBeginCapture", (1, 1), {}),
        (BINDINGS, "cuModuleGetFunction", (1, "text"), {}),
        (TENSORRT, "IExecutionContext.execute_async_v3", ("stream",), {}),
        (TENSORRT, "IExecutionContext.set_input_shape", ("x", (1, 2.5)), {}),
        (PYCUDA, "mem_alloc", (None,), {}),
    ],
)
def test_a_call_that_the_real_module_would_not_take_is_refused(
    table: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        check(table, name, arguments, named)


def test_what_a_release_may_lack_is_of_the_table() -> None:
    from signatures import TENSORRT_MEMBERS

    members = {f"{name}.{member}" for name, known in TENSORRT_MEMBERS.items() for member in known}
    assert set(TENSORRT) | members >= TENSORRT_OPTIONAL
    assert parameters("a: int, b: str = x")[1].optional


def test_an_unknown_function_cannot_be_called(simulation: Simulation) -> None:
    assert not hasattr(simulation.bindings, "cuMemAllocManaged")
    assert not hasattr(simulation.pycuda, "mem_alloc_pitch")


def test_memory_is_what_was_asked_for_and_not_more(simulation: Simulation) -> None:
    gpu = simulation.gpu
    address = do(simulation, "cuMemAlloc", 16)
    assert np.isnan(gpu.view(address, (4,), np.float32)).all()
    gpu.view(address, (4,), np.float32)[:] = 1
    assert gpu.view(address + 4, (1,), np.float32)[0] == 1
    for start, size in ((address, 17), (address + 16, 1), (address - 1, 1)):
        with pytest.raises(IllegalUse):
            gpu.memory.at(start, size)
    do(simulation, "cuMemFree", address)
    with pytest.raises(IllegalUse, match="freed"):
        gpu.view(address, (4,), np.float32)
    with pytest.raises(IllegalUse):
        simulation.bindings.cuMemFree(address)
    assert gpu.violations


def test_memory_ends(simulation: Simulation) -> None:
    assert refused(simulation, "cuMemAlloc", 1 << 31) == "CUDA_ERROR_OUT_OF_MEMORY"
    free, total = simulation.bindings.cuMemGetInfo()[1:]
    do(simulation, "cuMemAlloc", 1024)
    assert simulation.bindings.cuMemGetInfo()[1:] == (free - 1024, total)


def test_host_memory_is_the_array_and_mapped_memory_the_same_bytes(simulation: Simulation) -> None:
    context = simulation.pycuda.Device(0).retain_primary_context()
    context.push()
    array = simulation.pycuda.pagelocked_empty((2, 3), np.float32, mem_flags=2)
    assert np.isnan(array).all()
    array[...] = 7
    assert (simulation.gpu.view(array.base.get_device_pointer(), (2, 3), np.float32) == 7).all()
    plain = simulation.pycuda.pagelocked_empty(4, np.uint8)
    with pytest.raises(simulation.pycuda.LogicError, match="cuMemHostGetDevicePointer failed: invalid argument"):
        plain.base.get_device_pointer()
    array.base.free()
    with pytest.raises(simulation.pycuda.LogicError, match="pagelocked_host_allocation::free"):
        array.base.free()
    plain.base.free()
    simulation.pycuda.Context.pop()
    context.detach()


def test_an_address_of_the_gpu_is_none_of_the_host(simulation: Simulation) -> None:
    address, stream = do(simulation, "cuMemAlloc", 16), do(simulation, "cuStreamCreate", 1)
    with pytest.raises(IllegalUse, match="not of the host"):
        simulation.bindings.cuMemcpyHtoDAsync(address, address, 16, stream)
    host = np.zeros(16, np.uint8).ctypes.data
    with pytest.raises(IllegalUse, match="no memory"):
        simulation.bindings.cuMemcpyDtoDAsync(address, host, 16, stream)


@pytest.mark.parametrize("eager", [False, True])
def test_work_is_done_when_somebody_waits(eager: bool) -> None:
    simulation = simulate(eager=eager)
    ready(simulation)
    address, stream = do(simulation, "cuMemAlloc", 4), do(simulation, "cuStreamCreate", 1)
    event = do(simulation, "cuEventCreate", 0)
    out = np.zeros(4, np.uint8)
    do(simulation, "cuMemsetD8Async", address, 3, 4, stream)
    do(simulation, "cuMemcpyDtoHAsync", out.ctypes.data, address, 4, stream)
    do(simulation, "cuEventRecord", event, stream)
    do(simulation, "cuMemsetD8Async", address, 5, 4, stream)
    assert out.tolist() == ([3] * 4 if eager else [0] * 4)
    if not eager:
        assert refused(simulation, "cuStreamQuery", stream) == "CUDA_ERROR_NOT_READY"
        assert refused(simulation, "cuEventQuery", event) == "CUDA_ERROR_NOT_READY"
        do(simulation, "cuEventQuery", event)
    do(simulation, "cuEventSynchronize", event)
    assert out.tolist() == [3] * 4
    assert simulation.gpu.view(address, (1,), np.uint8)[0] == (5 if eager else 3)
    do(simulation, "cuStreamSynchronize", stream)
    assert simulation.gpu.view(address, (1,), np.uint8)[0] == 5


@pytest.mark.parametrize("waits", [False, True])
def test_streams_know_nothing_of_each_other_without_an_event(simulation: Simulation, waits: bool) -> None:
    address = do(simulation, "cuMemAlloc", 4)
    producer, consumer = (do(simulation, "cuStreamCreate", 1) for _ in range(2))
    event, out = do(simulation, "cuEventCreate", 2), np.zeros(4, np.uint8)
    do(simulation, "cuMemsetD8Async", address, 9, 4, producer)
    do(simulation, "cuEventRecord", event, producer)
    if waits:
        do(simulation, "cuStreamWaitEvent", consumer, event, 0)
    do(simulation, "cuMemcpyDtoHAsync", out.ctypes.data, address, 4, consumer)
    do(simulation, "cuStreamSynchronize", consumer)
    assert out.tolist() == ([9] * 4 if waits else [255] * 4)


def test_a_capture_does_nothing_and_a_graph_does_it_with_the_addresses_of_then(simulation: Simulation) -> None:
    address, stream = do(simulation, "cuMemAlloc", 4), do(simulation, "cuStreamCreate", 1)
    do(simulation, "cuStreamBeginCapture", stream, local(simulation))
    assert do(simulation, "cuStreamIsCapturing", stream) == 1
    do(simulation, "cuMemsetD8Async", address, 7, 4, stream)
    graph = do(simulation, "cuStreamEndCapture", stream)
    executable = do(simulation, "cuGraphInstantiate", graph, 0)
    do(simulation, "cuGraphDestroy", graph)
    do(simulation, "cuStreamSynchronize", stream)
    assert simulation.gpu.view(address, (1,), np.uint8)[0] == 255
    for _ in range(2):
        do(simulation, "cuGraphLaunch", executable, stream)
        do(simulation, "cuStreamSynchronize", stream)
        assert simulation.gpu.view(address, (1,), np.uint8)[0] == 7
        simulation.gpu.view(address, (1,), np.uint8)[0] = 0
    do(simulation, "cuMemFree", address)
    do(simulation, "cuGraphLaunch", executable, stream)
    with pytest.raises(IllegalUse, match="freed"):
        simulation.bindings.cuStreamSynchronize(stream)
    do(simulation, "cuGraphExecDestroy", executable)
    with pytest.raises(IllegalUse, match="destroyed"):
        simulation.bindings.cuGraphLaunch(executable, stream)


@pytest.mark.parametrize("name", ["cuMemAlloc", "cuMemHostAlloc", "cuStreamSynchronize", "cuCtxSynchronize"])
def test_what_a_capture_forbids_makes_it_invalid_for_this_thread_alone(simulation: Simulation, name: str) -> None:
    stream, other = (do(simulation, "cuStreamCreate", 1) for _ in range(2))
    arguments = {"cuMemAlloc": (16,), "cuMemHostAlloc": (16, 0), "cuStreamSynchronize": (other,)}.get(name, ())
    do(simulation, "cuStreamBeginCapture", stream, local(simulation))
    found: list[str] = []

    def elsewhere() -> None:
        do(simulation, "cuCtxPushCurrent", PRIMARY)
        found.append(refused(simulation, name, *arguments))
        do(simulation, "cuCtxPopCurrent")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == ["CUDA_SUCCESS"]
    assert do(simulation, "cuStreamIsCapturing", stream) == 1
    assert refused(simulation, name, *arguments) == "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
    assert refused(simulation, "cuStreamEndCapture", stream) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
    do(simulation, "cuStreamBeginCapture", stream, local(simulation))
    do(simulation, "cuStreamEndCapture", stream)


def test_an_engine_is_its_function(simulation: Simulation) -> None:
    context, x, y, _ = context_of(simulation, batch=4)
    stream = do(simulation, "cuStreamCreate", 1)
    simulation.gpu.view(x, (4, 4), np.float32)[:] = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert context.execute_async_v3(stream)
    assert np.isnan(simulation.gpu.view(y, (16,), np.float32)).all()
    do(simulation, "cuStreamSynchronize", stream)
    assert simulation.gpu.view(y, (16,), np.float32).tolist() == [2 * each for each in range(16)]


def test_an_engine_takes_nothing_but_the_shapes_of_its_profile(simulation: Simulation) -> None:
    context, _, _, log = context_of(simulation)
    assert not context.set_input_shape("x", (4, 4))
    assert "profile 0" in log.lines[-1]
    assert not context.set_input_shape("z", (1, 4))
    assert not context.set_tensor_address("x", 12)
    with pytest.raises(RuntimeError, match="profile"):
        context.set_optimization_profile_async(2, 0)
    assert context.set_optimization_profile_async(1, 0)
    assert context.infer_shapes() == ["x"]
    assert not context.execute_async_v3(do(simulation, "cuStreamCreate", 1))
    assert context.set_input_shape("x", (4, 4))
    assert tuple(context.get_tensor_shape("y")) == (4, 4)


def capture(simulation: Simulation, context: Any, stream: int) -> int:
    do(simulation, "cuStreamBeginCapture", stream, local(simulation))
    assert context.execute_async_v3(stream)
    graph = do(simulation, "cuStreamEndCapture", stream)
    return int(do(simulation, "cuGraphInstantiate", graph, 0))


def test_the_first_enqueue_cannot_be_captured(simulation: Simulation) -> None:
    context, x, y, log = context_of(simulation)
    stream = do(simulation, "cuStreamCreate", 1)
    do(simulation, "cuStreamBeginCapture", stream, local(simulation))
    assert not context.execute_async_v3(stream)
    assert "captured" in log.lines[-1]
    assert refused(simulation, "cuStreamEndCapture", stream) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
    assert context.execute_async_v3(stream)
    executable = capture(simulation, context, stream)
    simulation.gpu.view(x, (4,), np.float32)[:] = 3
    do(simulation, "cuGraphLaunch", executable, stream)
    do(simulation, "cuStreamSynchronize", stream)
    assert simulation.gpu.view(y, (4,), np.float32).tolist() == [6] * 4


def other_address(simulation: Simulation, context: Any) -> None:
    assert context.set_tensor_address("x", do(simulation, "cuMemAlloc", 16))


def other_profile(simulation: Simulation, context: Any) -> None:
    assert context.set_optimization_profile_async(1, 0)


@pytest.mark.parametrize("change", [other_address, other_profile, None])
def test_a_graph_does_not_outlive_what_it_was_captured_of(
    simulation: Simulation, change: Callable[[Simulation, Any], None] | None
) -> None:
    context, *_ = context_of(simulation)
    stream = do(simulation, "cuStreamCreate", 1)
    assert context.execute_async_v3(stream)
    executable = capture(simulation, context, stream)
    do(simulation, "cuStreamSynchronize", stream)
    if change is None:
        del context
        gc.collect()
    else:
        change(simulation, context)
    do(simulation, "cuGraphLaunch", executable, stream)
    with pytest.raises(IllegalUse, match="destroyed" if change is None else "other shapes or addresses"):
        simulation.bindings.cuStreamSynchronize(stream)
    assert simulation.gpu.violations


def test_one_context_is_not_run_on_two_streams_at_once(simulation: Simulation) -> None:
    context, *_ = context_of(simulation)
    first, second = (do(simulation, "cuStreamCreate", 1) for _ in range(2))
    assert context.execute_async_v3(first)
    with pytest.raises(IllegalUse, match="another stream"):
        context.execute_async_v3(second)
    do(simulation, "cuStreamSynchronize", first)
    assert context.execute_async_v3(second)


@pytest.mark.parametrize("version", ["10.3.0", "11.4.1"])
def test_activation_memory_may_be_the_users(version: str) -> None:
    simulation = simulate(version=version)
    ready(simulation)
    engine = simulation.trt.Runtime(Log()).deserialize_cuda_engine(simulation.trt.plan("double", DOUBLE))
    assert hasattr(engine, "create_execution_context_without_device_memory") == version.startswith("10")
    held = simulation.gpu.open()["engine"]
    context = engine.create_execution_context(simulation.trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    assert simulation.gpu.open()["engine"] == held
    x, y = (do(simulation, "cuMemAlloc", 16) for _ in range(2))
    for name, address in (("x", x), ("y", y)):
        context.set_tensor_address(name, address)
    context.set_input_shape("x", (1, 4))
    stream = do(simulation, "cuStreamCreate", 1)
    assert not context.execute_async_v3(stream)
    size = engine.get_device_memory_size_for_profile_v2(0)
    memory = do(simulation, "cuMemAlloc", size)
    context.set_device_memory(memory, size)
    assert context.execute_async_v3(stream)
    do(simulation, "cuMemFree", memory)
    with pytest.raises(IllegalUse, match="freed"):
        simulation.bindings.cuStreamSynchronize(stream)


def test_faults_come_when_they_are_asked_for(simulation: Simulation) -> None:
    gpu = simulation.gpu
    gpu.fail("cuMemAlloc", "CUDA_ERROR_OUT_OF_MEMORY", after=1, times=1)
    codes = [refused(simulation, "cuMemAlloc", 16) for _ in range(3)]
    assert codes == ["CUDA_SUCCESS", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA_SUCCESS"]
    context, _, _, log = context_of(simulation)
    stream = do(simulation, "cuStreamCreate", 1)
    gpu.fail("IExecutionContext.execute_async_v3", False)
    assert not context.execute_async_v3(stream)
    assert "enqueueV3 failed" in log.lines[-1]
    gpu.mend()
    assert context.execute_async_v3(stream)
    gpu.fail("Runtime.deserialize_cuda_engine", None)
    assert simulation.trt.Runtime(log).deserialize_cuda_engine(simulation.trt.plan("double", DOUBLE)) is None
    gpu.fail("cuStreamBeginCapture", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
    assert refused(simulation, "cuStreamBeginCapture", stream, local(simulation)).endswith("UNSUPPORTED")


def test_pycuda_says_what_the_driver_says(simulation: Simulation) -> None:
    pycuda = simulation.pycuda
    with pytest.raises(pycuda.LogicError, match="no currently active context"):
        pycuda.mem_alloc(16)  # the context is current, but not by pycuda
    context = pycuda.Device(0).retain_primary_context()
    context.push()
    simulation.gpu.fail("cuMemAlloc", "CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(pycuda.MemoryError, match="cuMemAlloc failed: out of memory"):
        pycuda.mem_alloc(16)
    simulation.gpu.mend()
    block = pycuda.mem_alloc(16)
    pycuda.Context.pop()
    with pytest.raises(pycuda.LogicError, match="cannot pop non-current context"):
        pycuda.Context.pop()
    block.free()
    with pytest.raises(pycuda.LogicError, match="device_allocation::free failed: invalid resource handle"):
        block.free()
    context.detach()
    with pytest.raises(pycuda.LogicError, match="detach"):
        context.detach()


def test_pycuda_gives_nothing_back_from_another_thread(simulation: Simulation) -> None:
    pycuda = simulation.pycuda
    context = pycuda.Device(0).retain_primary_context()
    context.push()
    block = pycuda.mem_alloc(16)
    pycuda.Context.pop()

    def elsewhere() -> None:
        with pytest.warns(UserWarning, match="out-of-thread context"):
            block.free()
        context.detach()

    held = simulation.gpu.retained[0]
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert simulation.gpu.open()["device"] == 1
    assert simulation.gpu.retained[0] == held


def test_no_context_no_work() -> None:
    simulation = simulate()
    assert refused(simulation, "cuMemAlloc", 16) == "CUDA_ERROR_NOT_INITIALIZED"
    ready(simulation)
    do(simulation, "cuCtxPopCurrent")
    assert refused(simulation, "cuMemAlloc", 16) == "CUDA_ERROR_INVALID_CONTEXT"
    assert refused(simulation, "cuCtxPopCurrent") == "CUDA_ERROR_INVALID_CONTEXT"
    do(simulation, "cuDevicePrimaryCtxRelease", 0)
    assert refused(simulation, "cuCtxPushCurrent", PRIMARY) == "CUDA_ERROR_INVALID_CONTEXT"
    simulation.gpu.assert_clean()


def test_what_is_left_when_the_context_goes_is_told(simulation: Simulation) -> None:
    do(simulation, "cuMemAlloc", 16)
    do(simulation, "cuEventCreate", 0)
    do(simulation, "cuCtxPopCurrent")
    do(simulation, "cuDevicePrimaryCtxRelease", 0)
    assert simulation.gpu.open() == {"device": 1, "event": 1}
    with pytest.raises(AssertionError, match="before"):
        simulation.gpu.assert_clean()


def test_no_gpu_and_a_process_that_forked(simulation: Simulation) -> None:
    assert refused(simulate(gpus=0), "cuInit", 0) == "CUDA_ERROR_NO_DEVICE"
    simulation.gpu.process = os.getpid() + 1
    assert refused(simulation, "cuMemAlloc", 16) == "CUDA_ERROR_NOT_INITIALIZED"


class Parameters(ctypes.Structure):
    _fields_ = (("target", ctypes.c_void_p), ("value", ctypes.c_int))


def test_a_kernel_is_a_function_of_its_parameters_at_the_launch(simulation: Simulation) -> None:
    def run(gpu: Any, parameters: Parameters, grid: tuple[int, ...]) -> None:
        gpu.view(parameters.target, grid[:1], np.int32)[:] = parameters.value

    simulation.gpu.kernel("fill", Parameters, run)
    target, stream = do(simulation, "cuMemAlloc", 16), do(simulation, "cuStreamCreate", 1)
    module = do(simulation, "cuModuleLoadDataEx", b"image", 0, (), (bytearray(1), 1))
    entry = do(simulation, "cuModuleGetFunction", module, b"fill")
    given = Parameters(target, 5)
    pointer = (ctypes.c_void_p * 1)(ctypes.addressof(given))
    do(simulation, "cuLaunchKernel", entry, 4, 1, 1, 32, 1, 1, 0, stream, ctypes.addressof(pointer), 0)
    given.value = 6
    do(simulation, "cuStreamSynchronize", stream)
    assert simulation.gpu.view(target, (4,), np.int32).tolist() == [5] * 4
    assert simulation.gpu.launches[0][:2] == ("fill", (4, 1, 1))
    do(simulation, "cuModuleUnload", module)
    with pytest.raises(IllegalUse, match="unloaded"):
        simulation.bindings.cuFuncLoad(entry)
