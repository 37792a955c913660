"""Running plans through the driver API: what is called in which order, and that all is given back."""

from __future__ import annotations

import ctypes
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.errors import DeviceError, EnvironmentMismatch, PluginMissing
from edgefer.kernels import launch as launch_module
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import Kernels
from edgefer.kernels.plan import ORIN, Launch, Plan, fill
from edgefer.kernels.streams import Event, Stream

ENTRIES = ("edgefer_double", "edgefer_add")


class Params(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("count", ctypes.c_int),
        ("bias", ctypes.c_float),
    )


@dataclass(frozen=True)
class Wanted:
    shape: tuple[int, ...]
    dtype: Any


def plan(count: int = 4, workspace: int = 16) -> Plan:
    return Plan(
        (Launch("edgefer_double", (2, 3, 1), 128, 60_000), Launch("edgefer_add", (1, 1, 1), 64)),
        {"count": count, "bias": 0.5},
        workspace,
    )


def compute(entry: str, address: int) -> None:
    """What a GPU would: workspace = 2 x, then y = workspace + bias."""
    p = Params.from_address(address)

    def floats(field: int) -> Any:
        return np.ctypeslib.as_array((ctypes.c_float * p.count).from_address(field))

    if entry == "edgefer_double":
        floats(p.workspace)[:] = 2 * floats(p.x)
    else:
        floats(p.y)[:] = floats(p.workspace) + p.bias


def test_a_plan_runs_and_everything_is_given_back(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make(compute)
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    x = np.array([1, 2, 3, 4], np.float32)
    found = kernels.run(plan(), Params, {"x": x}, {"y": Wanted((2, 2), np.float32)})
    np.testing.assert_array_equal(found["y"], [[2.5, 4.5], [6.5, 8.5]])
    assert cuda.left_open() == {"context": 1, "module": 1}
    kernels.close()
    assert cuda.left_open() == {}
    assert cuda.contexts == []
    assert cuda.memory == {}


def test_loading_makes_every_entry_ready_before_any_launch(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make()
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    assert kernels.gpu == ORIN
    assert kernels.binary.file == "sm_87.cubin.xz"
    shared = [arguments for name, arguments in cuda.calls if name == "cuFuncSetAttribute"]
    assert shared == [(name, "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES", ORIN.shared_bytes) for name in ENTRIES]
    assert cuda.names.count("cuFuncLoad") == 2
    # Only the primary context, and it is current while the module is loaded and not afterwards.
    wanted = ["cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuModuleLoadDataEx", "cuCtxPopCurrent"]
    assert [name for name in cuda.names if name in wanted] == wanted
    assert not [name for name in cuda.names if name.startswith("cuCtxCreate")]
    image = next(arguments[0] for name, arguments in cuda.calls if name == "cuModuleLoadDataEx")
    assert image == b"cubin\0"


def test_a_driver_without_explicit_loading_will_do(fake_cuda: SimpleNamespace, folder: Path) -> None:
    made = type(fake_cuda.make())

    class Older(made):  # type: ignore[misc, valid-type]
        def __getattr__(self, name: str) -> Any:
            if name == "cuFuncLoad":
                raise AttributeError(name)
            return super().__getattr__(name)

    cuda = Older(compute)
    Kernels(driver=Driver(cuda), folder=folder)
    assert "cuFuncLoad" not in cuda.names


@pytest.mark.parametrize("message", ['Function "cuFuncLoad" not found', "other"])
def test_bindings_that_know_more_than_the_driver_will_do(
    fake_cuda: SimpleNamespace, folder: Path, message: str
) -> None:
    cuda = fake_cuda.make()

    def missing(function: Any) -> Any:
        raise RuntimeError(message)

    cuda.cuFuncLoad = missing
    if message == "other":
        with pytest.raises(RuntimeError, match="other"):
            Kernels(driver=Driver(cuda), folder=folder)
    else:
        assert Kernels(driver=Driver(cuda), folder=folder).gpu == ORIN


def test_a_launch_calls_the_driver_once_for_each_kernel_and_nothing_else(
    fake_cuda: SimpleNamespace, folder: Path
) -> None:
    cuda = fake_cuda.make()
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    del cuda.calls[:]
    kernels.launch(plan(), fill(Params, plan(), {"x": 256}), 77)
    assert [(name, arguments[:8]) for name, arguments in cuda.calls] == [
        ("cuLaunchKernel", ("edgefer_double", 2, 3, 1, 128, 1, 1, 60_000)),
        ("cuLaunchKernel", ("edgefer_add", 1, 1, 1, 64, 1, 1, 0)),
    ]
    assert [arguments[8] for _, arguments in cuda.calls] == [77, 77]


def test_memory_is_unwritten_before_the_kernels_run(fake_cuda: SimpleNamespace, folder: Path) -> None:
    kernels = Kernels(driver=Driver(fake_cuda.make()), folder=folder)
    found = kernels.run(plan(), Params, {}, {"y": Wanted((3,), np.float32)})
    assert np.isnan(found["y"]).all()


def test_nothing_to_copy_is_no_call(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make()
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    found = kernels.run(plan(workspace=0), Params, {"x": np.empty(0, np.float32)}, {"y": Wanted((0,), np.float32)})
    assert found["y"].shape == (0,)
    assert not [name for name in cuda.names if name.startswith(("cuMemcpy", "cuMemset"))]


@pytest.mark.parametrize("call", ["cuLaunchKernel", "cuMemcpyHtoDAsync", "cuStreamSynchronize"])
def test_a_failing_call_is_named_and_everything_is_given_back(
    fake_cuda: SimpleNamespace, folder: Path, call: str
) -> None:
    cuda = fake_cuda.make(**{call: fake_cuda.result.CUDA_ERROR_ILLEGAL_ADDRESS})
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    with pytest.raises(DeviceError, match=f"{call}.*CUDA_ERROR_ILLEGAL_ADDRESS") as caught:
        kernels.run(plan(), Params, {"x": np.zeros(4, np.float32)}, {"y": Wanted((4,), np.float32)})
    assert "compute-sanitizer" in caught.value.hint
    kernels.close()
    assert cuda.left_open() == {}
    assert cuda.contexts == []


@pytest.mark.parametrize("error", ["CUDA_ERROR_INVALID_HANDLE", "CUDA_ERROR_INVALID_CONTEXT"])
def test_a_launch_in_another_context_than_the_primary_one_is_explained(
    fake_cuda: SimpleNamespace, folder: Path, error: str
) -> None:
    kernels = Kernels(driver=Driver(fake_cuda.make(cuLaunchKernel=fake_cuda.result[error])), folder=folder)
    with pytest.raises(DeviceError, match=error) as caught:
        kernels.launch(plan(), Params(), 0)
    assert "primary context" in caught.value.hint


@pytest.mark.parametrize(
    "call", ["cuModuleLoadDataEx", "cuModuleGetFunction", "cuFuncSetAttribute", "cuCtxPushCurrent"]
)
def test_loading_that_fails_leaves_nothing_behind(fake_cuda: SimpleNamespace, folder: Path, call: str) -> None:
    cuda = fake_cuda.make(**{call: fake_cuda.result.CUDA_ERROR_OUT_OF_MEMORY})
    with pytest.raises(DeviceError, match=f"{call} failed: CUDA_ERROR_OUT_OF_MEMORY"):
        Kernels(driver=Driver(cuda), folder=folder)
    assert cuda.left_open() == {}
    assert cuda.contexts == []


def test_the_context_is_given_back_even_where_unloading_is_refused(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make(cuModuleUnload=fake_cuda.result.CUDA_ERROR_ILLEGAL_ADDRESS)
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    with pytest.raises(DeviceError, match="cuModuleUnload"):
        kernels.close()
    assert "context" not in cuda.left_open()
    assert cuda.contexts == []


def test_the_drivers_compiler_is_quoted(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make(cuModuleLoadDataEx=fake_cuda.result.CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
    cuda.jit_log = b"ptxas fatal: unsupported .version 8.5"
    with pytest.raises(DeviceError) as caught:
        Kernels(driver=Driver(cuda), folder=folder)
    assert caught.value.details == "ptxas fatal: unsupported .version 8.5"
    assert "update the driver" in caught.value.hint


def test_an_entry_that_the_binary_lacks_is_named(fake_cuda: SimpleNamespace, folder: Path) -> None:
    kernels = Kernels(driver=Driver(fake_cuda.make()), folder=folder)
    with pytest.raises(PluginMissing, match="edgefer_other") as caught:
        kernels.launch(Plan((Launch("edgefer_other", (1, 1, 1), 32),), {}), Params(), 0)
    assert "2 entries" in caught.value.details


def test_an_array_that_is_not_contiguous_is_refused(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make()
    kernels = Kernels(driver=Driver(cuda), folder=folder)
    with pytest.raises(ValueError, match="not contiguous"):
        kernels.run(plan(), Params, {"x": np.zeros((4, 4), np.float32)[:, ::2]}, {"y": Wanted((4,), np.float32)})
    kernels.close()
    assert cuda.left_open() == {}


@pytest.mark.parametrize(("error", "match"), [(None, "no CUDA driver"), ("CUDA_ERROR_NO_DEVICE", "NO_DEVICE")])
def test_a_machine_without_a_gpu_is_told_so(fake_cuda: SimpleNamespace, error: str | None, match: str) -> None:
    cuda = fake_cuda.make()

    def raises(flags: int) -> tuple[object]:
        if error:
            return (fake_cuda.result[error],)
        raise RuntimeError("libcuda.so.1 cannot be found")

    cuda.cuInit = raises
    with pytest.raises(DeviceError, match=match) as caught:
        Driver(cuda)
    assert caught.value.hint


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    with pytest.raises(EnvironmentMismatch, match="cuda-bindings") as caught:
        Driver()
    assert "edgefer[device]" in caught.value.hint


def test_the_current_device_is_that_of_the_context_or_the_first(fake_cuda: SimpleNamespace) -> None:
    cuda = fake_cuda.make()
    cuda._cuCtxGetDevice = lambda: (3,)
    assert Driver(cuda).current_device() == 3
    lost = fake_cuda.make(cuCtxGetDevice=fake_cuda.result.CUDA_ERROR_INVALID_CONTEXT)
    assert Driver(lost).current_device() == 0
    broken = fake_cuda.make(cuCtxGetDevice=fake_cuda.result.CUDA_ERROR_ILLEGAL_ADDRESS)
    with pytest.raises(DeviceError, match="cuCtxGetDevice"):
        Driver(broken).current_device()


def test_a_capture_is_recorded_by_this_thread_alone_and_replayed(fake_cuda: SimpleNamespace, folder: Path) -> None:
    cuda = fake_cuda.make()
    driver = Driver(cuda)
    kernels = Kernels(driver=driver, folder=folder)
    with driver.current(kernels.context), Stream(driver) as stream:
        del cuda.calls[:]
        with stream.capture() as graph:
            kernels.launch(plan(), fill(Params, plan(), {}), stream.handle)
        graph.replay()
        graph.close()
        graph.close()
    assert cuda.names[:-2] == [
        "cuStreamBeginCapture",
        *["cuLaunchKernel"] * 2,
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]
    assert cuda.calls[0][1][1] == "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"
    kernels.close()
    assert cuda.left_open() == {}


@pytest.mark.parametrize("invalidated", [False, True])
def test_a_capture_that_fails_is_ended(fake_cuda: SimpleNamespace, invalidated: bool) -> None:
    failing = {"cuStreamEndCapture": fake_cuda.result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED} if invalidated else {}
    cuda = fake_cuda.make(**failing)
    with Stream(Driver(cuda)) as stream, pytest.raises(ZeroDivisionError), stream.capture():
        raise ZeroDivisionError
    assert "cuStreamEndCapture" in cuda.names
    assert cuda.left_open() == {}


def test_a_graph_that_cannot_be_made_ready_is_dropped(fake_cuda: SimpleNamespace) -> None:
    cuda = fake_cuda.make(cuGraphInstantiate=fake_cuda.result.CUDA_ERROR_OUT_OF_MEMORY)
    with Stream(Driver(cuda)) as stream, pytest.raises(DeviceError, match="cuGraphInstantiate"), stream.capture():
        pass
    assert cuda.left_open() == {}


def test_events_give_seconds(fake_cuda: SimpleNamespace) -> None:
    cuda = fake_cuda.make()
    driver = Driver(cuda)
    with Stream(driver) as stream:
        first, last = Event(driver), Event(driver)
        first.record(stream)
        last.record(stream)
        assert last.seconds_since(first) == pytest.approx(0.0025)
        assert dict(cuda.calls)["cuEventElapsedTime"] == (first.handle, last.handle)
        first.close()
        last.close()
    assert cuda.left_open() == {}


def test_one_device_is_loaded_once_whoever_asks(
    fake_cuda: SimpleNamespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = fake_cuda.make()
    made: list[int] = []

    def load(device: int, *, driver: Driver) -> Kernels:
        made.append(device)
        return Kernels(device, driver=driver, folder=folder)

    monkeypatch.setattr(launch_module, "Kernels", load)
    monkeypatch.setattr(launch_module, "Driver", lambda: Driver(cuda))
    monkeypatch.setattr(launch_module, "_loaded", {})
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(launch_module.kernels())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [0]
    assert len(set(map(id, found))) == 1
    assert launch_module.kernels(1) is not found[0]
    assert made == [0, 1]
    assert cuda.names.count("cuInit") == 1
