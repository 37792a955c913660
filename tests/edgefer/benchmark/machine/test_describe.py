"""The description of a machine, on synthetic trees and on this machine.

The trees are SYNTHETIC. They are written from the Linux kernel's Documentation/ABI/testing/sysfs-devices-system-cpu,
sysfs-class-power, Documentation/admin-guide/cgroup-v2.rst, Documentation/filesystems/proc.rst, and from NVIDIA's Jetson
Linux Developer Guide (nvpmodel, /etc/nv_tegra_release). No part was read from a Jetson or a bare-metal server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import pytest

from edgefer.benchmark.machine import describe
from edgefer.benchmark.machine.jetson import power_mode, run_command
from edgefer.benchmark.result import Machine
from edgefer.engine.driver import CudaDriver, Gpu

NO_DRIVER = CudaDriver(version=None, problem="no CUDA driver")
ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))

X86 = {
    "proc/cpuinfo": "\n".join(
        f"processor\t: {cpu}\nmodel name\t: A  Server CPU\ncpu MHz\t\t: 2600.000\n"
        f"flags\t\t: fpu avx avx2 fma avx512f avx512_vnni hypervisor{' amx_int8' if cpu == 0 else ''}\n"
        for cpu in (0, 1)
    ),
    "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 500 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB",
    "proc/self/status": "Name:\tpython\nCpus_allowed:\t2\nCpus_allowed_list:\t1",
    "sys/devices/system/cpu/online": "0-1",
    "sys/devices/system/cpu/smt/control": "on",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "0",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpufreq/policy1/scaling_governor": "performance",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_driver": "intel_pstate",
    "sys/class/dmi/id/sys_vendor": "QEMU",
    "sys/class/dmi/id/product_name": "Standard PC",
    "sys/fs/cgroup/cpu.max": "150000 100000",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/status": "Discharging",
    "proc/1/cgroup": "0::/kubepods/pod1",
}

JETSON = {
    "proc/cpuinfo": "\n".join(
        f"processor\t: {cpu}\nFeatures\t: fp asimd asimdhp asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n"
        for cpu in range(8)
    ),
    "proc/device-tree/model": "NVIDIA Jetson Orin NX",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic",
    "etc/nvpmodel.conf": (
        "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=15W >\n< PM_CONFIG DEFAULT=2 >"
    ),
    "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet",
}


def nothing(command: Sequence[str]) -> str | None:
    return None


def test_an_x86_guest_in_a_pod(plant) -> None:
    machine = describe(plant(X86), driver=NO_DRIVER, ask=nothing)
    assert machine.cpu == "A Server CPU"
    assert machine.cpus == 1
    assert machine.cpu_features == ("avx", "fma", "avx2", "avx512f", "avx512_vnni")  # amx_int8 is not on both
    assert machine.memory == 1000 * 1024
    assert (machine.virtual, machine.container) == ("QEMU/KVM", True)
    assert machine.settings == {
        "cpu-governor": "performance, powersave",
        "cpu-driver": "intel_pstate",
        "turbo": "on",
        "smt": "on",
        "affinity": "1",
        "cpus-online": "2",
        "cpu-quota": "1.5",
        "power-supply": "battery",
    }
    assert (machine.gpu, machine.board, machine.l4t, machine.power_mode) == (None, None, None, None)


def test_a_jetson(plant) -> None:
    cpu = "sys/devices/system/cpu/cpufreq/policy0/"
    clocks = {f"{cpu}scaling_{name}_freq": 1_984_000 for name in ("min", "max", "cur")}
    gpu = {f"sys/class/devfreq/17000000.gpu/{name}_freq": 918_000_000 for name in ("min", "max", "cur")}
    root = plant({**JETSON, **clocks, **gpu})
    machine = describe(root, driver=ORIN, ask=nothing)
    assert machine.cpu == "Cortex-A78AE"
    assert machine.cpu_features == ("asimd", "asimdhp", "asimddp")
    assert (machine.board, machine.l4t, machine.jetpack) == ("NVIDIA Jetson Orin NX", "36.4.3", "6.2")
    assert machine.power_mode == "MAXN (0)"
    assert machine.settings["jetson-clocks"] == "on"
    assert (machine.gpu, machine.compute_capability, machine.cuda) == ("Orin", "8.7", "12.6")
    plant({"sys/class/devfreq/17000000.gpu/min_freq": 306_000_000})
    assert describe(root, driver=ORIN, ask=nothing).settings["jetson-clocks"] == "off"


def test_the_power_mode_is_what_nvpmodel_answers(plant) -> None:
    root = plant(JETSON)
    assert power_mode(root, lambda command: "NV Fan Mode:quiet\nNV Power Mode: MODE_15W_6CORE\n2\n") == (
        "MODE_15W_6CORE (2)"
    )
    assert power_mode(root, lambda command: "NV Power Mode: 30W\n") == "30W"
    assert power_mode(root, nothing) == "MAXN (0)"
    (root / "var/lib/nvpmodel/status").unlink()
    assert power_mode(root, nothing) == "15W (2)"  # the default, before anybody chose
    plant({"var/lib/nvpmodel/status": "pmode:0007"})
    assert power_mode(root, nothing) == "mode 7"
    (root / "etc/nvpmodel.conf").unlink()
    (root / "var/lib/nvpmodel/status").unlink()
    assert power_mode(root, nothing) is None


def test_commands_that_are_missing_fail_or_answer() -> None:
    assert run_command(("edgefer-has-no-such-command",)) is None
    assert run_command((sys.executable, "-c", "import sys; sys.exit(3)")) is None
    assert run_command((sys.executable, "-c", "print('MAXN')")) == "MAXN\n"


def test_nothing_at_all_is_a_machine_too(tmp_path) -> None:
    machine = describe(tmp_path, driver=NO_DRIVER, ask=nothing)
    assert machine.memory is None
    assert machine.cpu_features == ()
    assert (machine.virtual, machine.container, machine.settings) == (None, False, {})
    assert machine.cpus >= 1
    assert machine.cpu


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/cpuinfo": "flags : fpu"}, None),
        ({"proc/cpuinfo": "flags : fpu", "sys/class/dmi/id/sys_vendor": "Amazon EC2"}, None),  # a bare-metal instance
        ({"proc/cpuinfo": "flags : fpu hypervisor"}, "unnamed hypervisor"),
        ({"proc/cpuinfo": "flags : fpu hypervisor", "sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "VMware"),
        ({"sys/hypervisor/type": "xen"}, "Xen"),
        ({"proc/device-tree/hypervisor/compatible": "linux,kvm"}, "KVM"),
    ],
)
def test_hypervisors(plant, files: dict[str, str], expected: str | None) -> None:
    assert describe(plant(files), driver=NO_DRIVER, ask=nothing).virtual == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, "0.5"),
    ],
)
def test_cpu_quotas_of_both_versions_of_control_groups(plant, files: dict[str, str], expected: str | None) -> None:
    settings = describe(plant({"proc/version": "Linux", **files}), driver=NO_DRIVER, ask=nothing).settings
    assert settings.get("cpu-quota") == expected


def test_a_headset_on_its_battery_is_not_the_machine(plant) -> None:
    supply = "sys/class/power_supply/"
    root = plant(
        {
            f"{supply}hid/type": "Battery",
            f"{supply}hid/scope": "Device",
            f"{supply}hid/status": "Discharging",
            f"{supply}AC/type": "Mains",
            f"{supply}AC/online": 1,
        }
    )
    assert describe(root, driver=NO_DRIVER, ask=nothing).settings["power-supply"] == "mains"


def test_this_machine_is_described_and_survives_json() -> None:
    machine = describe()
    assert machine.cpus >= 1
    assert machine.packages["numpy"]
    assert msgspec.json.decode(msgspec.json.encode(machine), type=Machine) == machine
