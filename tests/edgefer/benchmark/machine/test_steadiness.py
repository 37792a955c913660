"""What is said about a machine that is not steady: each finding with what to do, and nothing about a steady one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgefer.benchmark.machine import warnings
from edgefer.benchmark.result import Clock, Machine, Moment, Temperature

STEADY = Machine(
    cpu="A CPU",
    architecture="x86_64",
    cpus=2,
    cpu_features=(),
    memory=1 << 33,
    system="Linux 6",
    python="3.11",
    virtual=None,
    container=False,
    settings={"affinity": "0-1", "cpus-online": "4", "power-supply": "mains", "gpu-persistence": "on"},
)


def clock(name: str, gigahertz: float, governor: str = "performance") -> Clock:
    return Clock(name=name, hertz=gigahertz * 1e9, maximum=3e9, governor=governor)


def state(at: float, **changed: Any) -> Moment:
    usual: dict[str, Any] = {
        "clocks": (clock("cpu0", 3.0), clock("cpu1", 2.99), Clock(name="gpu", hertz=1e9)),
        "temperatures": (Temperature(name="cpu", celsius=50 + at),),
        "load": 0.01,
        "stolen": 0.0,
        "memory_available": 1 << 32,
        "swap_used": 0,
    }
    return Moment(at=at, **{**usual, **changed})


def machine(**changed: Any) -> Machine:
    settings = {**STEADY.settings, **changed.pop("settings", {})}
    return msgspec.structs.replace(STEADY, settings=settings, **changed)


def test_nothing_is_said_about_a_steady_machine() -> None:
    assert warnings(STEADY, (state(0), state(1), state(2))) == ()
    assert warnings(STEADY, ()) == ()
    assert warnings(STEADY, (Moment(at=0.0), Moment(at=1.0))) == ()


@pytest.mark.parametrize(
    ("changed", "found", "remedy"),
    [
        ({"clocks": (clock("cpu0", 3.0, "schedutil"),)}, "governor is schedutil", "cpupower"),
        ({"clocks": (clock("cpu0", 2.0), clock("cpu1", 2.0))}, "CPU clock moved between 2.00 and 3.00 GHz", "governor"),
        ({"clocks": (Clock(name="gpu", hertz=5e8),)}, "gpu clock moved between 0.50 and 1.00 GHz", "nvidia-smi -lgc"),
        ({"clocks": (clock("cpu0", 3.0), clock("cpu1", 2.5))}, "at 2.50 to 3.00 GHz at the same moment", "taskset"),
        ({"temperatures": (Temperature(name="cpu", celsius=61),)}, "rose from 50 to 61", "warm up"),
        ({"temperatures": (Temperature(name="gpu", celsius=91),)}, "gpu reached 91", "cooling"),
        ({"throttle": ("GPU: software power cap",)}, "(GPU: software power cap, at 1 of 2 moments)", "power"),
        ({"load": 0.34}, "used up to 34%", "--against"),
        ({"stolen": 0.05}, "2.5% of this machine's CPU time", "--against"),
        ({"swap_used": 100 << 20}, "100 MiB of swap", "swapoff"),
        ({"memory_available": 100 << 20}, "Only 100 MiB of memory", "stop"),
    ],
)
def test_what_a_moment_shows(changed: dict[str, Any], found: str, remedy: str) -> None:
    said = [line for line in warnings(STEADY, (state(0), state(1, **changed))) if found in line]
    assert len(said) == 1
    assert remedy in said[0]


@pytest.mark.parametrize(
    ("changed", "found", "remedy"),
    [
        ({"virtual": "KVM"}, "virtual machine (KVM)", "do not"),
        ({"container": True, "settings": {"affinity": "0-3"}}, "not pinned", "--cpuset-cpus"),
        ({"settings": {"cpu-quota": "1.5"}}, "limited to the time of 1.5 CPUs", "--cpuset-cpus"),
        ({"settings": {"power-supply": "battery"}}, "battery", "plug it in"),
        ({"l4t": "36.4.3", "power_mode": "MAXN (0)", "settings": {"jetson-clocks": "off"}}, "locked", "jetson_clocks"),
        ({"l4t": "36.4.3"}, "power mode", "nvpmodel -q"),
        ({"settings": {"gpu-persistence": "off"}}, "Persistence", "nvidia-smi -pm 1"),
        ({"settings": {"gpu-mig": "on"}}, "divided", "state it"),
    ],
)
def test_what_the_machine_is(changed: dict[str, Any], found: str, remedy: str) -> None:
    said = warnings(machine(**changed), (state(0), state(1)))
    assert len(said) == 1
    assert found in said[0]
    assert remedy in said[0]


def test_a_container_with_pinned_cpus_is_fine() -> None:
    assert warnings(machine(container=True), (state(0),)) == ()


def test_clocks_that_someone_locked_are_no_throttling() -> None:
    assert warnings(STEADY, (state(0, throttle=("GPU: application clocks",)),)) == ()


def test_cores_of_different_kinds_may_differ() -> None:
    little = Clock(name="cpu1", hertz=1e9, maximum=1e9, governor="performance")
    assert warnings(STEADY, (state(0, clocks=(clock("cpu0", 3.0), little)),)) == ()


def test_a_jetson_is_told_its_own_commands() -> None:
    jetson = machine(l4t="36.4.3", power_mode="MAXN (0)")
    said = warnings(jetson, (state(0), state(1, clocks=(Clock(name="gpu", hertz=5e8),))))
    assert len(said) == 1
    assert "sudo jetson_clocks" in said[0]


def test_one_stolen_tick_among_many_moments_is_no_finding() -> None:
    moments = [state(each / 10) for each in range(20)]
    assert warnings(STEADY, (*moments, state(2.0, stolen=0.04))) == ()
