"""The state of a machine at moments, on synthetic trees and on this machine.

The trees are SYNTHETIC, written from the Linux kernel's Documentation/admin-guide/pm/cpufreq.rst (kHz),
Documentation/ABI/testing/sysfs-class-devfreq (Hz), sysfs-class-thermal and sysfs-class-hwmon (millidegrees),
sysfs-devices-system-cpu (thermal_throttle) and Documentation/filesystems/proc.rst (/proc/stat, /proc/<pid>/stat).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.benchmark.machine import Observer, moment
from edgefer.benchmark.machine.load import Ticks, share
from edgefer.benchmark.result import Clock

CPUFREQ = "sys/devices/system/cpu/cpufreq"
THERMAL = "sys/class/thermal"


def stat(busy: int, idle: int, stolen: int = 0) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 {stolen} 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1"


def own(user: int, system: int = 0) -> str:
    # The process's name is chosen by whoever starts it.
    return f"1 (a) name (0) R 1 1 1 0 -1 4194304 100 0 0 0 {user} {system} 0 0 20 0 1 0 5 1 1"


def policy(number: int, cpus: str, megahertz: int) -> dict[str, object]:
    values = {"related_cpus": cpus, "scaling_governor": "schedutil", "scaling_cur_freq": megahertz * 1000}
    values |= {"scaling_min_freq": 100_000, "scaling_max_freq": 2_000_000}
    return {f"{CPUFREQ}/policy{number}/{name}": value for name, value in values.items()}


def test_clocks_of_cpu_gpu_and_memory(plant) -> None:
    devfreq = "sys/class/devfreq/17000000.gpu"
    root = plant(
        {
            **policy(0, "0 1 2 3", 1500),
            **policy(4, "4", 1800),
            "proc/self/status": "Cpus_allowed_list:\t0-7",
            f"{devfreq}/cur_freq": 306_000_000,
            f"{devfreq}/min_freq": 306_000_000,
            f"{devfreq}/max_freq": 918_000_000,
            f"{devfreq}/governor": "nvhost_podgov",
            "sys/class/devfreq/15480000.nvdec/cur_freq": 1,
            "sys/kernel/debug/bpmp/debug/clk/emc/rate": 3_199_000_000,
        }
    )
    assert moment(0.0, root).clocks == (
        Clock(name="cpu0-3", hertz=1.5e9, minimum=1e8, maximum=2e9, governor="schedutil"),
        Clock(name="cpu4", hertz=1.8e9, minimum=1e8, maximum=2e9, governor="schedutil"),
        Clock(name="gpu", hertz=306e6, minimum=306e6, maximum=918e6, governor="nvhost_podgov"),
        Clock(name="emc", hertz=3.199e9),
    )


def test_cpus_that_the_process_may_not_use_are_left_out(plant) -> None:
    root = plant({**policy(0, "0 1", 1500), **policy(2, "2", 1800), "proc/self/status": "Cpus_allowed_list:\t2"})
    assert [clock.name for clock in moment(0.0, root).clocks] == ["cpu2"]


def test_clocks_without_cpufreq_are_what_cpuinfo_states(plant) -> None:
    root = plant({"proc/cpuinfo": "processor : 0\ncpu MHz : 2600.5\nprocessor : 1\ncpu MHz : unknown"})
    assert moment(0.0, root).clocks == (Clock(name="cpu0", hertz=2600.5e6), Clock(name="cpu1", hertz=None))


def test_temperatures_skip_what_is_asleep(plant) -> None:
    root = plant(
        {
            f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
            f"{THERMAL}/thermal_zone0/temp": 51_500,
            f"{THERMAL}/thermal_zone1/type": "cv0-thermal",
            f"{THERMAL}/thermal_zone1/temp": -256_000,
            f"{THERMAL}/thermal_zone2/type": "gpu-thermal",  # no answer
            f"{THERMAL}/thermal_zone3/type": "cpu-thermal",
            f"{THERMAL}/thermal_zone3/temp": 40_000,
            "sys/class/hwmon/hwmon0/name": "coretemp",
            "sys/class/hwmon/hwmon0/temp1_label": "Package id 0",
            "sys/class/hwmon/hwmon0/temp1_input": 45_000,
            "sys/class/hwmon/hwmon0/temp2_label": "Core 0",
            "sys/class/hwmon/hwmon0/temp2_input": 44_000,
            "sys/class/hwmon/hwmon1/name": "nvme",
            "sys/class/hwmon/hwmon1/temp1_input": 30_000,
        }
    )
    found = {each.name: each.celsius for each in moment(0.0, root).temperatures}
    assert found == {"cpu-thermal": 51.5, "cpu-thermal 2": 40.0, "coretemp Package id 0": 45.0}


def test_throttling_now_and_since_the_last_look(plant) -> None:
    count = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    root = plant(
        {
            f"{THERMAL}/cooling_device0/type": "cpufreq-cpu0",
            f"{THERMAL}/cooling_device0/cur_state": 3,
            f"{THERMAL}/cooling_device0/max_state": 20,
            f"{THERMAL}/cooling_device1/type": "pwm-fan",
            f"{THERMAL}/cooling_device1/cur_state": 2,
            f"{THERMAL}/cooling_device2/type": "gpu-throttle-alert",
            f"{THERMAL}/cooling_device2/cur_state": 0,
            count: 7,
            "sys/class/hwmon/hwmon2/oc3_event_cnt": 0,
        }
    )
    observer = Observer(root)
    cooling = "cooling: cpufreq-cpu0 at 3 of 20"
    assert observer.moment(0.0).throttle == (cooling,)
    plant({count: 8, "sys/class/hwmon/hwmon2/oc3_event_cnt": 2})
    assert observer.moment(1.0).throttle == (cooling, "CPU core too hot", "over-current oc3")
    assert observer.moment(2.0).throttle == (cooling,)


def test_load_is_what_others_used_between_two_looks(plant) -> None:
    root = plant({"proc/stat": stat(1000, 1000), "proc/self/stat": own(100), "proc/loadavg": "1.25 1 1 1/90 5"})
    observer = Observer(root)
    # 200 ticks pass: 120 busy, of which 70 are this process's own; 20 go to other guests.
    plant({"proc/stat": stat(1120, 1060, 20), "proc/self/stat": own(150, 20)})
    seen = observer.moment(1.0)
    assert (seen.load, seen.stolen, seen.load_average) == (0.25, 0.1, 1.25)


def test_load_is_not_told_from_too_short_a_time_and_then_counts_from_before(plant) -> None:
    root = plant({"proc/stat": stat(1000, 1000), "proc/self/stat": own(0)})
    observer = Observer(root)
    plant({"proc/stat": stat(1010, 1000)})
    assert observer.moment(0.1).load is None
    plant({"proc/stat": stat(1010, 1090)})
    assert observer.moment(1.0).load == 0.1


def test_own_time_counted_late_does_not_make_the_load_negative() -> None:
    before, after = Ticks(total=0, busy=0, stolen=0, own=0), Ticks(total=100, busy=50, stolen=0, own=60)
    found = share(before, after)
    assert found is not None
    assert found.load == 0.0


@pytest.mark.parametrize("content", ["", "cpu", "cpu a b c d e f g h", "intr 1"])
def test_counters_that_are_not_there_are_none(plant, content: str) -> None:
    observer = Observer(plant({"proc/stat": content, "proc/self/stat": own(0)}))
    assert observer.moment(0.0).load is None


def test_memory_and_swap(plant) -> None:
    root = plant({"proc/meminfo": "MemAvailable: 500 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB"})
    seen = moment(0.0, root)
    assert (seen.memory_available, seen.swap_used) == (500 * 1024, 60 * 1024)


def test_an_empty_root_is_a_moment_too(tmp_path: Path) -> None:
    seen = moment(3.0, tmp_path)
    assert (seen.at, seen.clocks, seen.temperatures, seen.throttle) == (3.0, (), (), ())
    assert (seen.load, seen.stolen, seen.load_average, seen.memory_available) == (None, None, None, None)


def test_this_machine_has_a_state() -> None:
    assert moment(0.5).at == 0.5
