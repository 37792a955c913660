"""Streams with a priority, streams that wait for one another, and events that nobody measures with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from simulation import Simulation, simulate

from edgefer.errors import DeviceError
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Event, Stream, priority_range


@pytest.fixture
def simulation() -> Simulation:
    return simulate()


@pytest.fixture
def driver(simulation: Simulation) -> Iterator[Driver]:
    driver = Driver(simulation.bindings)
    with driver.current(driver.retain(0)):
        yield driver
    driver.release(0)
    simulation.gpu.assert_clean()


def test_only_a_priority_of_its_own_is_asked_for(simulation: Simulation, driver: Driver) -> None:
    least, greatest = priority_range(driver)
    assert (least, greatest) == (0, -5)
    with Stream(driver) as plain, Stream(driver, greatest) as first:
        assert (plain.priority, first.priority) == (0, -5)
    made = [call for call in simulation.gpu.calls if call[0].startswith("cuStreamCreate")]
    assert made == [("cuStreamCreate", (1,)), ("cuStreamCreateWithPriority", (1, -5))]


def test_a_stream_is_given_back_once(simulation: Simulation, driver: Driver) -> None:
    with Stream(driver) as stream:
        stream.close()
    stream.close()
    assert simulation.gpu.count("cuStreamDestroy") == 1


def test_bytes_go_from_one_address_to_another_in_order(simulation: Simulation, driver: Driver) -> None:
    here, there = driver.allocate(8), driver.allocate(8)
    back = np.zeros(8, np.uint8)
    with Stream(driver) as stream:
        stream.copy_in(here, np.arange(8, dtype=np.uint8))
        stream.copy_between(there, here, 8)
        stream.copy_between(there, here, 0)
        stream.copy_out(back, there)
        stream.wait()
    assert back.tolist() == list(range(8))
    assert simulation.gpu.count("cuMemcpyDtoDAsync") == 1
    driver.free((here, there))


def test_one_stream_waits_for_a_moment_of_another(simulation: Simulation, driver: Driver) -> None:
    with Stream(driver) as first, Stream(driver) as second:
        event = Event(driver, timing=False, blocking=True)
        event.record(first)
        second.wait_for(event)
        event.record(int(second.handle))
        second.wait()
        event.close()
        event.close()
    recorded = [arguments for name, arguments in simulation.gpu.calls if name == "cuEventRecord"]
    assert [stream for _, stream in recorded] == [int(first_handle) for first_handle in _handles(simulation)]
    assert dict(simulation.gpu.calls)["cuEventCreate"] == (3,)
    assert dict(simulation.gpu.calls)["cuStreamWaitEvent"][2] == 0
    assert simulation.gpu.count("cuEventDestroy") == 1


def _handles(simulation: Simulation) -> list[int]:
    return [arguments[0] for name, arguments in reversed(simulation.gpu.calls) if name == "cuStreamDestroy"]


def test_a_capture_that_is_interrupted_as_it_begins_is_ended(
    simulation: Simulation, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = simulation.bindings.cuStreamBeginCapture

    def interrupted(*arguments: object) -> None:
        begin(*arguments)
        raise KeyboardInterrupt

    with Stream(driver) as stream:
        monkeypatch.setattr(simulation.bindings, "cuStreamBeginCapture", interrupted)
        with pytest.raises(KeyboardInterrupt), stream.capture():
            pass
        stream.wait()


def test_an_event_says_whether_its_moment_has_passed(simulation: Simulation, driver: Driver) -> None:
    memory = driver.allocate(8)
    with Stream(driver) as stream:
        event = Event(driver, timing=False)
        stream.fill(memory, 1, 8)
        event.record(stream)
        assert not event.done()
        event.wait()
        assert event.done()
        simulation.gpu.fail("cuEventQuery", "CUDA_ERROR_ILLEGAL_ADDRESS")
        with pytest.raises(DeviceError, match="cuEventQuery failed: CUDA_ERROR_ILLEGAL_ADDRESS"):
            event.done()
        event.close()
    driver.free((memory,))
