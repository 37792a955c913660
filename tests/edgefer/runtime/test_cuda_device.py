"""A GPU's context, memory and streams on a simulated one: what is asked of the driver, in which order, and what a user
is told when it refuses. test_pycuda_stub.py has the same with the real packages."""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, EnvironmentMismatch, UsageError
from edgefer.kernels.driver import Driver
from edgefer.kernels.plan import ORIN
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu import cuda_context

SETTING_UP = ("cuDeviceGet", "cuDeviceGetAttribute", "cuDeviceGetName", "cuInit")


@pytest.fixture
def simulation() -> Simulation:
    return simulate(integrated=True)


def opened(simulation: Simulation, ordinal: int = 0) -> CudaDevice:
    return CudaDevice(ordinal, pycuda=simulation.pycuda, driver=Driver(simulation.bindings))


def names(calls: list[tuple[str, tuple[Any, ...]]]) -> list[str]:
    return [name for name, _ in calls]


def test_what_a_device_is(simulation: Simulation) -> None:
    device = opened(simulation)
    assert (device.ordinal, device.name, device.gpu, device.integrated) == (0, "Simulated Orin", ORIN, True)
    assert device.memory() == (1 << 30, 1 << 30)
    device.allocate(1 << 20)
    assert device.memory() == ((1 << 30) - (1 << 20), 1 << 30)
    device.close()
    simulation.gpu.assert_clean()
    discrete = simulate()
    assert not opened(discrete).integrated


def test_it_is_the_primary_context_that_is_used(simulation: Simulation) -> None:
    device = opened(simulation)
    assert [name for name in simulation.gpu.names if name not in SETTING_UP] == ["cuDevicePrimaryCtxRetain"]
    with simulation.gpu.recording() as calls, device.current():
        device.memory()
    assert names(calls) == ["cuCtxPushCurrent", "cuMemGetInfo", "cuCtxPopCurrent"]
    device.close()


def test_nested_use_costs_the_driver_nothing(simulation: Simulation) -> None:
    device, other = opened(simulation), opened(simulation)
    with simulation.gpu.recording() as calls, device.current(), device.current(), other.current(), device.current():
        pass
    # Another device object has a context of its own for pycuda, which keeps the driver's stack one deep.
    assert names(calls).count("cuCtxPushCurrent") == names(calls).count("cuCtxPopCurrent") == 5
    with simulation.gpu.recording() as calls, device.current(), device.current():
        device.allocate(8)
    assert names(calls) == ["cuCtxPushCurrent", "cuMemAlloc", "cuCtxPopCurrent"]
    device.close()
    other.close()
    simulation.gpu.assert_clean()


def test_arrays_are_mapped_where_asked(simulation: Simulation) -> None:
    device = opened(simulation)
    pinned, mapped = device.host((2, 3), np.float16, mapped=False), device.host((4,), np.int32, mapped=True)
    assert [arguments for name, arguments in simulation.gpu.calls if name == "cuMemHostAlloc"] == [(12, 1), (16, 3)]
    assert (pinned.address, pinned.array.shape, pinned.array.dtype) == (0, (2, 3), np.float16)
    mapped.array[:] = (1, 2, 3, 4)
    assert simulation.gpu.view(mapped.address, (4,), np.int32).tolist() == [1, 2, 3, 4]
    for shape in ((), (0, 3)):
        empty = device.host(shape, np.float32, mapped=True)
        assert empty.array.shape == shape
    pinned.close()
    pinned.close()
    assert pinned.array.size == 0
    device.close()
    simulation.gpu.assert_clean()


def test_an_array_that_cannot_be_mapped_is_given_back(simulation: Simulation) -> None:
    device = opened(simulation)
    simulation.gpu.fail("cuMemHostGetDevicePointer", "CUDA_ERROR_INVALID_VALUE")
    with pytest.raises(DeviceError, match="cuMemHostGetDevicePointer failed: CUDA_ERROR_INVALID_VALUE"):
        device.host((4,), np.int32, mapped=True)
    assert simulation.gpu.open() == {"context": 1}
    device.close()


def test_all_is_released_newest_first(simulation: Simulation) -> None:
    device = opened(simulation)
    first = device.allocate(0)
    device.host((4,), np.uint8, mapped=True)
    device.stream("high")
    device.allocate(8)
    held: list[str] = []

    def release() -> None:
        with device_of_nobody.current():
            held.append(simulation.gpu.names[-1])

    device_of_nobody = opened(simulation)
    device.hold(release)
    key = device.hold(lambda: held.append("let go"))
    device.let_go(key)
    device.let_go(key)
    assert held == ["let go"]
    first.close()
    first.close()
    with simulation.gpu.recording() as calls:
        device.close()
        device.close()
    assert len(held) == 2
    assert [name for name in names(calls) if "Ctx" not in name and name not in SETTING_UP] == [
        *("cuMemGetInfo", "cuMemFree", "cuStreamDestroy", "cuMemFreeHost"),
    ]
    assert names(calls)[-1] == "cuDevicePrimaryCtxRelease"
    device_of_nobody.close()
    simulation.gpu.assert_clean()


@pytest.mark.parametrize("use", ["memory", "stream", "current", "allocate", "host"])
def test_a_closed_device_says_so(simulation: Simulation, use: str) -> None:
    device = opened(simulation)
    assert device.usable
    device.close()
    assert not device.usable
    arguments: dict[str, Any] = {"allocate": {"size": 8}, "host": {"shape": (1,), "dtype": "f4", "mapped": False}}
    with pytest.raises(UsageError, match="GPU 0 is used after it was closed") as caught, device.current():
        getattr(device, use)(**arguments.get(use, {}))
    assert "open the session again" in caught.value.hint


def test_closing_inside_of_the_context_is_no_trouble(simulation: Simulation) -> None:
    device, other = opened(simulation), opened(simulation)
    with other.current():
        with device.current(), device.current():
            device.allocate(8)
            device.close()
        other.memory()
        assert len(simulation.gpu.stack) == 1
    other.close()
    simulation.gpu.assert_clean()


def test_what_is_held_too_late_is_released_at_once(simulation: Simulation) -> None:
    device = opened(simulation)
    device.close()
    released: list[int] = []
    with pytest.raises(UsageError):
        device.hold(lambda: released.append(1))
    assert released == [1]


def test_garbage_is_given_back(simulation: Simulation) -> None:
    memory = opened(simulation).allocate(8)
    gc.collect()
    assert simulation.gpu.open() == {"device": 1, "context": 1}
    del memory
    gc.collect()
    simulation.gpu.assert_clean()


def test_priorities_are_the_drivers_numbers(simulation: Simulation) -> None:
    device = opened(simulation)
    assert [device.stream(each).priority for each in ("low", "normal", "high")] == [0, 0, -5]
    made = [arguments for name, arguments in simulation.gpu.calls if name == "cuStreamCreateWithPriority"]
    assert made == [(1, -5)]
    with pytest.raises(UsageError, match="low, normal, high, not 'urgent'"):
        device.stream("urgent")  # type: ignore[arg-type]
    device.close()
    simulation.gpu.assert_clean()


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("cuMemAlloc", lambda device: device.allocate(8)),
        ("cuMemHostAlloc", lambda device: device.host((1,), "u1", mapped=False)),
        ("cuMemGetInfo", lambda device: device.memory()),
        ("cuStreamCreate", lambda device: device.stream()),
        ("cuCtxPushCurrent", lambda device: device.memory()),
    ],
)
def test_what_the_driver_refuses_has_its_name_and_a_hint(simulation: Simulation, call: str, act: Any) -> None:
    device = opened(simulation)
    simulation.gpu.fail(call, "CUDA_ERROR_OUT_OF_MEMORY", times=1)
    with pytest.raises(DeviceError, match=f"{call} failed: CUDA_ERROR_OUT_OF_MEMORY") as caught:
        act(device)
    assert "memory is full" in caught.value.hint
    device.memory()
    device.close()
    simulation.gpu.assert_clean()


@pytest.mark.parametrize("call", [*SETTING_UP, "cuDevicePrimaryCtxRetain"])
def test_a_device_that_cannot_be_opened_leaves_nothing(simulation: Simulation, call: str) -> None:
    driver = Driver(simulation.bindings)
    simulation.gpu.fail(call, "CUDA_ERROR_ILLEGAL_ADDRESS")
    with pytest.raises(DeviceError, match=f"{call} failed: CUDA_ERROR_ILLEGAL_ADDRESS"):
        CudaDevice(pycuda=simulation.pycuda, driver=driver)
    gc.collect()
    simulation.gpu.assert_clean()


def test_a_gpu_that_is_not_there_is_named(simulation: Simulation) -> None:
    with pytest.raises(DeviceError, match="CUDA_ERROR_INVALID_DEVICE") as caught:
        opened(simulation, 1)
    assert "edgefer doctor" in caught.value.hint


def test_closing_goes_on_after_an_error_and_says_the_first(simulation: Simulation) -> None:
    device = opened(simulation)
    device.allocate(8)
    device.stream()

    def fails() -> None:
        raise DeviceError("the first")

    device.hold(fails)
    simulation.gpu.fail("cuStreamDestroy", "CUDA_ERROR_INVALID_HANDLE")
    with pytest.raises(DeviceError, match="the first"):
        device.close()
    assert simulation.gpu.open() == {"stream": 1}
    assert simulation.gpu.count("cuMemFree") == 1


def test_a_context_that_is_dead_is_said_once_and_pycuda_prints_nothing(simulation: Simulation) -> None:
    device = opened(simulation)
    device.allocate(8)
    simulation.gpu.fail("cuMemGetInfo", "CUDA_ERROR_ILLEGAL_ADDRESS")
    with pytest.raises(DeviceError, match="CUDA_ERROR_ILLEGAL_ADDRESS") as caught:
        device.close()
    assert "compute-sanitizer" in caught.value.hint
    assert simulation.gpu.count("cuMemFree") == 0
    assert simulation.gpu.count("cuDevicePrimaryCtxRelease") == 1


def test_a_context_that_cannot_be_entered_is_released_all_the_same(simulation: Simulation) -> None:
    device = opened(simulation)
    device.allocate(8)
    simulation.gpu.fail("cuCtxPushCurrent", "CUDA_ERROR_UNKNOWN")
    with pytest.raises(DeviceError, match="cuCtxPushCurrent failed: CUDA_ERROR_UNKNOWN"):
        device.close()
    assert simulation.gpu.count("cuDevicePrimaryCtxRelease") == 1


def test_what_leaving_refuses_does_not_hide_what_went_wrong_inside(simulation: Simulation) -> None:
    device = opened(simulation)
    simulation.gpu.fail("cuCtxPopCurrent", "CUDA_ERROR_UNKNOWN", times=1)
    with pytest.raises(ZeroDivisionError), device.current():
        raise ZeroDivisionError
    simulation.gpu.fail("cuCtxPopCurrent", "CUDA_ERROR_UNKNOWN", times=1)
    with pytest.raises(DeviceError, match="cuCtxPopCurrent failed: CUDA_ERROR_UNKNOWN"), device.current():
        pass


def test_a_forked_process_is_told_both_processes(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    device = opened(simulation)
    memory, parent = device.allocate(8), os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(cuda_context.os, "getpid", lambda: parent + 1)
        with pytest.raises(DeviceError, match=f"in process {parent} and is used in process {parent + 1}") as caught:
            device.memory()
        assert "spawn" in caught.value.hint
        with simulation.gpu.recording() as calls:
            memory.close()
            device.close()
        assert calls == []


def test_nothing_is_imported_before_a_device_is_made_and_pycuda_is_asked_for(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in simulation.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    device = CudaDevice()
    assert device.name == "Simulated Orin"
    device.close()
    simulation.gpu.assert_clean()


class Finder:
    """Raises for pycuda as an import does that goes wrong."""

    def __init__(self, error: ImportError) -> None:
        self.error = error

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] == "pycuda":
            raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "message", "hint"),
    [
        (
            ModuleNotFoundError("No module named 'pycuda'", name="pycuda"),
            EnvironmentMismatch,
            "pycuda is needed to run on the GPU and is not installed",
            "edgefer[device,pycuda]",
        ),
        (
            ImportError("libcuda.so.1: cannot open shared object file: No such file or directory"),
            DeviceError,
            "there is no CUDA driver",
            "where an NVIDIA GPU",
        ),
        (
            ImportError("_driver.so: undefined symbol: cuCtxCreate_v4"),
            EnvironmentMismatch,
            "pycuda is installed and cannot be imported",
            "--no-binary pycuda",
        ),
    ],
)
def test_a_pycuda_that_cannot_be_imported(
    simulation: Simulation,
    monkeypatch: pytest.MonkeyPatch,
    error: ImportError,
    kind: type[EnvironmentMismatch],
    message: str,
    hint: str,
) -> None:
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(error), *sys.meta_path])
    with pytest.raises(EnvironmentMismatch, match=message) as caught:
        CudaDevice(driver=Driver(simulation.bindings))
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert str(error) in caught.value.details
    simulation.gpu.assert_clean()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuMemAlloc failed: out of memory", "cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY"),
        (
            "m_stack::pop failed: invalid device context - cannot pop context from empty stack",
            "m_stack::pop failed: CUDA_ERROR_INVALID_CONTEXT",
        ),
        ("cuFoo failed: words that nobody knows", "cuFoo failed: words that nobody knows"),
        ("something else", "pycuda failed: something else"),
    ],
)
def test_words_become_names(simulation: Simulation, text: str, message: str) -> None:
    translator = cuda_context.Translator(simulation.pycuda, Driver(simulation.bindings))
    assert translator.error(simulation.pycuda.Error(text)).message == message


def test_the_kind_of_exception_tells_where_words_do_not(simulation: Simulation) -> None:
    translator = cuda_context.Translator(simulation.pycuda, Driver(simulation.bindings))
    found = translator.error(simulation.pycuda.MemoryError("cuMemAlloc failed: gibberish"))
    assert found.message == "cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY"
    assert found.details == "gibberish"


def test_names_are_found_where_the_driver_has_no_words(simulation: Simulation) -> None:
    bindings = ModuleType("bindings")
    bindings.CUresult = simulation.bindings.CUresult  # type: ignore[attr-defined]
    driver = Driver(simulation.bindings)
    driver.bindings = bindings
    translator = cuda_context.Translator(simulation.pycuda, driver)
    error = simulation.pycuda.LogicError("cuCtxPushCurrent failed: illegal address")
    assert translator.error(error).message == "cuCtxPushCurrent failed: CUDA_ERROR_ILLEGAL_ADDRESS"
