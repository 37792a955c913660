"""Asking a GPU through NVML. The library is a FAKE, written from NVIDIA's NVML reference; no GPU was asked."""

from __future__ import annotations

import pytest

from edgefer.benchmark.machine import Observer, describe
from edgefer.benchmark.nvml import open_nvml
from edgefer.benchmark.result import Clock, Temperature
from edgefer.engine.driver import CudaDriver

NO_DRIVER = CudaDriver(version=None, problem="no CUDA driver")


def test_a_missing_binding_says_how_to_get_it() -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    gpu, reason = open_nvml(missing)
    assert gpu is None
    assert "pip install nvidia-ml-py" in reason


def test_a_missing_driver_or_gpu_is_a_reason(fake_nvml) -> None:
    gpu, reason = open_nvml(lambda name: fake_nvml(nvmlInit="Driver Not Loaded"))
    assert gpu is None
    assert "Driver Not Loaded" in reason
    module = fake_nvml(gpus=0)
    assert open_nvml(lambda name: module)[0] is None
    assert module.users == 0


@pytest.mark.parametrize(
    ("visible", "opened"), [("", 0), ("2,1", 2), ("GPU-8a,GPU-9b", "GPU-8a"), ("MIG-3c", "MIG-3c")]
)
def test_the_gpu_that_the_process_sees_is_opened(
    fake_nvml, monkeypatch: pytest.MonkeyPatch, visible: str, opened: object
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    module = fake_nvml(gpus=4)
    open_nvml(lambda name: module)
    assert module.opened == [opened]


def test_a_gpu_is_described_and_watched(fake_nvml, tmp_path) -> None:
    module = fake_nvml(
        nvmlDeviceGetName=b"NVIDIA RTX A2000",
        nvmlSystemGetDriverVersion="560.35.03",
        nvmlDeviceGetEnforcedPowerLimit=70_000,
        nvmlDeviceGetPersistenceMode=0,
        nvmlDeviceGetMigMode=[[1, 1]],
        nvmlDeviceGetClockInfo=lambda kind: {1: 1200, 2: 6001}[kind],
        nvmlDeviceGetMaxClockInfo=lambda kind: 2100,
        nvmlDeviceGetTemperature=55,
        nvmlDeviceGetCurrentClocksThrottleReasons=0x1 | 0x4 | 0x40,
    )
    # The binding's module-level function takes no handle.
    module.nvmlSystemGetDriverVersion = lambda: "560.35.03"
    gpu, _ = open_nvml(lambda name: module)
    assert gpu is not None
    machine = describe(tmp_path, driver=NO_DRIVER, nvml=gpu, ask=lambda command: None)
    assert (machine.gpu, machine.driver, machine.power_limit) == ("NVIDIA RTX A2000", "560.35.03", 70.0)
    assert machine.settings == {"gpu-persistence": "off", "gpu-mig": "on"}
    seen = Observer(tmp_path, gpu).moment(1.0)
    assert seen.clocks == (
        Clock(name="gpu", hertz=1.2e9, maximum=2.1e9),
        Clock(name="gpu-memory", hertz=6.001e9, maximum=2.1e9),
    )
    assert seen.temperatures == (Temperature(name="gpu", celsius=55.0),)
    assert seen.throttle == ("GPU: software power cap", "GPU: hardware thermal slowdown")  # that it idled is no reason
    gpu.close()
    assert module.users == 0


def test_a_gpu_that_knows_nothing_is_still_a_gpu(fake_nvml, tmp_path) -> None:
    gpu, _ = open_nvml(lambda name: fake_nvml())
    assert gpu is not None
    assert gpu.driver() is None
    seen = Observer(tmp_path, gpu).moment(1.0)
    assert (seen.clocks, seen.temperatures, seen.throttle) == ((), (), ())
    machine = describe(tmp_path, driver=NO_DRIVER, nvml=gpu, ask=lambda command: None)
    assert (machine.gpu, machine.power_limit, machine.settings) == (None, None, {})
