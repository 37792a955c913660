"""Where power is read from.

The trees are SYNTHETIC, written from the Linux kernel's Documentation/hwmon/ina3221.rst and ina238.rst,
Documentation/ABI/testing/sysfs-class-powercap and Documentation/power/powercap/powercap.rst; the rails' names from
NVIDIA's Jetson Linux Developer Guide. NVML is a FAKE written from NVIDIA's reference. Nothing here was measured.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.benchmark.nvml import open_nvml
from edgefer.benchmark.power import SourceRail, find_source
from edgefer.benchmark.power.ina3221 import Ina3221
from edgefer.benchmark.power.rapl import Rapl

CHIP = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
RAPL = "sys/class/powercap/intel-rapl"


def channel(number: int, label: str, millivolts: int, milliamperes: int, chip: str = CHIP) -> dict[str, object]:
    return {
        f"{chip}/in{number}_label": label,
        f"{chip}/in{number}_enable": 1,
        f"{chip}/in{number}_input": millivolts,
        f"{chip}/curr{number}_input": milliamperes,
    }


def rails(source: Ina3221 | Rapl) -> dict[str, bool]:
    return {rail.name: rail.total for rail in source.rails}


def no_nvml() -> tuple[None, str]:
    return None, "NVML needs nvidia-ml-py"


def test_an_orin_nx_is_measured_at_its_input(plant) -> None:
    files = (
        channel(1, "VDD_IN", 5000, 1500) | channel(2, "VDD_CPU_GPU_CV", 4980, 500) | channel(3, "VDD_SOC", 5000, 300)
    )
    files |= {f"{CHIP}/in7_label": "sum of shunt voltages", f"{CHIP}/in7_input": 12}
    source = Ina3221.find(plant(files))
    assert source is not None
    assert rails(source) == {"VDD_IN": True, "VDD_CPU_GPU_CV": False, "VDD_SOC": False}
    assert source.read() == pytest.approx((7.5, 2.49, 1.5))
    assert "VDD_IN" in source.note
    assert not source.cumulative


def test_an_agx_orin_is_the_sum_of_its_rails_without_the_part_counted_twice(plant) -> None:
    second = "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon2"
    files = channel(1, "VDD_GPU_SOC", 19000, 200) | channel(2, "VDD_CPU_CV", 19000, 100)
    files |= channel(3, "VIN_SYS_5V0", 5000, 800)
    files |= channel(1, "NC", 0, 0, second) | channel(2, "VDDQ_VDD2_1V8AO", 5000, 100, second)
    source = Ina3221.find(plant(files))
    assert source is not None
    assert rails(source) == {
        "VDD_GPU_SOC": True,
        "VDD_CPU_CV": True,
        "VIN_SYS_5V0": True,
        "VDDQ_VDD2_1V8AO": False,
    }
    assert source.read() == pytest.approx((3.8, 1.9, 4.0, 0.5))


def test_a_thor_is_measured_at_its_input_by_another_chip(plant) -> None:
    files = channel(1, "VDD_GPU", 12000, 200) | {
        "sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon4/power1_input": 23_500_000,
    }
    source = Ina3221.find(plant(files))
    assert source is not None
    assert rails(source) == {"VDD_GPU": False, "VIN": True}
    assert source.read() == pytest.approx((2.4, 23.5))


def test_jetpack_4_has_the_same_chips_elsewhere(plant) -> None:
    chip = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    files = {f"{chip}/rail_name_0": "POM_5V_IN", f"{chip}/in_power0_input": 2500}
    files |= {f"{chip}/rail_name_1": "POM_5V_GPU", f"{chip}/in_power1_input": 300}
    source = Ina3221.find(plant(files))
    assert source is not None
    assert rails(source) == {"POM_5V_IN": True, "POM_5V_GPU": False}
    assert source.read() == pytest.approx((2.5, 0.3))


def test_channels_that_are_off_or_silent_are_no_rails(plant) -> None:
    files = channel(1, "VDD_IN", 5000, 1000) | channel(2, "VDD_SOC", 5000, 100) | {f"{CHIP}/in2_enable": 0}
    files |= {f"{CHIP}/in3_label": "VDD_CPU"}
    root = plant(files)
    source = Ina3221.find(root)
    assert source is not None
    assert rails(source) == {"VDD_IN": True}
    (root / CHIP / "curr1_input").unlink()
    assert source.read() == (None,)
    assert Ina3221.find(root) is None


def zone(number: str, name: str, microjoules: int, most: int = 1_000_000) -> dict[str, object]:
    folder = f"{RAPL}:{number}"
    return {f"{folder}/name": name, f"{folder}/energy_uj": microjoules, f"{folder}/max_energy_range_uj": most}


def test_package_and_memory_make_the_total_of_rapl(plant) -> None:
    files = zone("0", "package-0", 10) | zone("0:0", "core", 5) | zone("0:1", "dram", 3) | zone("1", "psys", 30)
    root = plant({**files, "sys/class/powercap/intel-rapl/enabled": 1, **zone("10", "package-1", 7)})
    source, reason = Rapl.find(root)
    assert source is not None
    assert reason == ""
    assert rails(source) == {
        "package-0": True,
        "package-0/core": False,
        "package-0/dram": True,
        "psys": False,
        "package-1": True,
    }
    assert source.cumulative


def test_a_counter_that_comes_round_goes_on_growing(plant) -> None:
    root = plant(zone("0", "package-0", 999_000, most=999_999))
    source, _ = Rapl.find(root)
    assert source is not None
    assert source.read() == (0.0,)
    plant({f"{RAPL}:0/energy_uj": 999_500})
    assert source.read() == pytest.approx((500e-6,))
    plant({f"{RAPL}:0/energy_uj": 1_500})  # 500 to the end of the range, 1,500 from zero
    assert source.read() == pytest.approx((2_500e-6,))
    plant({f"{RAPL}:0/energy_uj": 2_000})
    assert source.read() == pytest.approx((3_000e-6,))


def test_a_counter_of_unknown_range_that_starts_again_is_not_read(plant) -> None:
    root = plant({f"{RAPL}:0/name": "package-0", f"{RAPL}:0/energy_uj": 500})
    source, _ = Rapl.find(root)
    assert source is not None
    plant({f"{RAPL}:0/energy_uj": 100})
    assert source.read() == (None,)


def test_counters_for_root_alone_are_named_as_such(plant, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plant(zone("0", "package-0", 10))
    readable = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return readable(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    source, reason = Rapl.find(root)
    assert source is None
    assert "root alone" in reason
    assert "Linux since 5.10" in reason


def test_nvml_counts_energy_where_the_gpu_does(fake_nvml, tmp_path: Path) -> None:
    module = fake_nvml(nvmlDeviceGetTotalEnergyConsumption=[1000, 1000, 3500], nvmlDeviceGetPowerUsage=9000)
    source, reason = find_source(tmp_path, nvml=lambda: open_nvml(lambda name: module))
    assert source is not None
    assert reason == ""
    assert (source.name, source.rails, source.cumulative) == ("nvml", (SourceRail("gpu", True),), True)
    assert [source.read(), source.read()] == [(1.0,), (3.5,)]
    source.close()
    assert module.users == 0


def test_nvml_states_power_where_there_is_no_counter(fake_nvml, tmp_path: Path) -> None:
    module = fake_nvml(nvmlDeviceGetPowerUsage=42_500)
    source, _ = find_source(tmp_path, nvml=lambda: open_nvml(lambda name: module))
    assert source is not None
    assert source.read() == (42.5,)
    assert not source.cumulative
    assert "one second" in source.note


def test_a_gpu_that_falls_silent_is_an_error_and_no_zero(fake_nvml, tmp_path: Path) -> None:
    module = fake_nvml()
    module.answers["nvmlDeviceGetPowerUsage"] = [1000, module.NVMLError("GPU is lost")]
    source, _ = find_source(tmp_path, nvml=lambda: open_nvml(lambda name: module))
    assert source is not None
    with pytest.raises(module.NVMLError, match="lost"):
        source.read()


def test_a_jetson_comes_before_nvml_and_the_cpu_last(plant, fake_nvml) -> None:
    module = fake_nvml(nvmlDeviceGetPowerUsage=1)
    root = plant(zone("0", "package-0", 10))

    def nvml():
        return open_nvml(lambda name: module)

    def chosen(**options: bool) -> str:
        source, _ = find_source(root, nvml=nvml, **options)
        assert source is not None
        source.close()
        return source.name

    assert chosen() == "nvml"
    assert chosen(gpu=False) == "rapl"
    plant(channel(1, "VDD_IN", 5000, 1000))
    assert chosen() == "ina3221"
    assert module.users == 0


def test_where_there_is_nothing_every_reason_is_given(tmp_path: Path, fake_nvml) -> None:
    source, reason = find_source(tmp_path, nvml=no_nvml)
    assert source is None
    assert "INA3221" in reason
    assert "nvidia-ml-py" in reason
    assert "RAPL" in reason
    module = fake_nvml()
    _, reason = find_source(tmp_path, nvml=lambda: open_nvml(lambda name: module))
    assert "neither its power nor its energy" in reason
    assert module.users == 0
