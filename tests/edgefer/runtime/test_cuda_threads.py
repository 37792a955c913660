"""A device that several threads use, and what its use costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, UsageError
from edgefer.kernels.driver import Driver
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu import cuda_context


@pytest.fixture
def simulation() -> Simulation:
    return simulate()


@pytest.fixture
def device(simulation: Simulation) -> CudaDevice:
    return CudaDevice(pycuda=simulation.pycuda, driver=Driver(simulation.bindings))


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs `work(number)` in so many threads at once; raises what the first of them raised."""
    wrong: list[BaseException] = []
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]


def test_each_thread_has_the_context_to_itself(simulation: Simulation, device: CudaDevice) -> None:
    inside = threading.Barrier(4)

    def work(number: int) -> None:
        with device.current():
            inside.wait()
            memory = device.allocate(number + 1)
            stream = device.stream()
            inside.wait()
        memory.close()
        with device.current():
            stream.close()

    in_threads(4, work)
    device.close()
    simulation.gpu.assert_clean()


def test_memory_of_one_thread_is_given_back_by_another(simulation: Simulation, device: CudaDevice) -> None:
    kept = [device.allocate(8), device.host((4,), "u1", mapped=False)]
    in_threads(1, lambda _: kept[0].close())
    in_threads(1, lambda _: kept[1].close())
    assert simulation.gpu.open() == {"context": 1}
    device.allocate(8)
    in_threads(1, lambda _: device.close())
    simulation.gpu.assert_clean()


def test_a_device_is_closed_once_whoever_closes_it(simulation: Simulation, device: CudaDevice) -> None:
    for _ in range(20):
        device.allocate(8)
    in_threads(4, lambda _: device.close())
    assert simulation.gpu.count("cuMemFree") == 20
    assert simulation.gpu.count("cuDevicePrimaryCtxRelease") == 1
    simulation.gpu.assert_clean()


def test_memory_that_comes_while_it_is_closed_is_not_lost(simulation: Simulation, device: CudaDevice) -> None:
    """Run often: every moment between two steps of one thread is one at which the other may close it."""
    refused: list[UsageError] = []

    def work(number: int) -> None:
        if number == 0:
            time.sleep(0.01)
            device.close()
            return
        try:
            while True:
                device.allocate(8).close()
        except UsageError as error:
            refused.append(error)

    in_threads(4, work)
    assert len(refused) == 3
    simulation.gpu.assert_clean()


def test_closing_waits_for_those_inside(simulation: Simulation, device: CudaDevice) -> None:
    order: list[str] = []
    inside = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            inside.wait()
            device.close()
            order.append("closed")
            return
        with device.current():
            inside.set()
            time.sleep(0.05)
            device.driver.free([device.driver.allocate(8)])
            order.append("used")

    in_threads(2, work)
    assert order == ["used", "closed"]
    simulation.gpu.assert_clean()


def test_a_thread_that_stays_inside_is_told_of(
    simulation: Simulation, device: CudaDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_context, "_PATIENCE", 0.02)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with device.current():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    with pytest.raises(DeviceError, match="closed while another thread uses it") as caught:
        device.close()
    leave.set()
    thread.join()
    assert "end the threads" in caught.value.hint
    assert simulation.gpu.open() == {"context": 1}
    assert simulation.gpu.violations == []


def test_entering_the_context_costs_little(device: CudaDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's part alone: below a microsecond where the processor is free; the limit is for one that is not."""
    with monkeypatch.context() as patch:
        patch.setattr(device.current(), "_push", lambda context: None)
        patch.setattr(device.current(), "_pop", lambda: None)
        best = min(_seconds(device, 2000) for _ in range(10))
    assert best / 2000 < 10e-6
    device.close()


def _seconds(device: CudaDevice, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        with device.current():
            pass
    return time.perf_counter() - start
