"""Temperatures, and the signs that the hardware was slowed down for them.

Documentation/ABI/testing/sysfs-class-thermal and sysfs-class-hwmon of the kernel (millidegrees Celsius);
thermal_throttle of x86 CPUs in sysfs-devices-system-cpu; over-current counters of a Jetson (soctherm_oc) in NVIDIA's
Jetson Linux Developer Guide.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgefer.benchmark.result import Temperature
from edgefer.kernel_files import entries, integer, text

# Drivers that report no thermal zone for the CPU on x86.
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower")
# One sensor for the package is enough: the cores differ by little and are many.
_PACKAGE = re.compile(r"^(Package id \d+|Tctl|Tdie)$")
# A sensor of a powered-down block answers with an absurd cold, such as -256 degrees on a Jetson.
_COLDEST = -60.0
# Cooling devices that cool by slowing down; fans and displays do not.
_SLOWS = re.compile(r"^(processor|cpu|gpu|soc|cv|tj|devfreq|thermal-|intel_powerclamp)|cpufreq|throttle", re.IGNORECASE)


def temperatures(root: Path) -> tuple[Temperature, ...]:
    """All thermal zones, and the CPU package's own sensor where no zone covers it."""
    found: dict[str, float] = {}
    for zone in entries(root / "sys/class/thermal", "thermal_zone*"):
        _note(found, text(zone / "type") or zone.name, integer(zone / "temp"))
    for chip in entries(root / "sys/class/hwmon", "hwmon*"):
        name = text(chip / "name")
        if name not in _CPU_SENSORS:
            continue
        for sensor in entries(chip, "temp*_input"):
            label = text(chip / sensor.name.replace("_input", "_label")) or ""
            if _PACKAGE.match(label):
                _note(found, f"{name} {label}", integer(sensor))
    return tuple(Temperature(name=name, celsius=celsius) for name, celsius in found.items())


def slowed_now(root: Path) -> tuple[str, ...]:
    """Cooling devices that hold the clocks down at this moment, such as "cooling: cpufreq-cpu0 at 3 of 20"."""
    found = []
    for device in entries(root / "sys/class/thermal", "cooling_device*"):
        kind, state = text(device / "type") or "", integer(device / "cur_state")
        if state is not None and state > 0 and _SLOWS.search(kind):
            most = integer(device / "max_state")
            found.append(f"cooling: {kind} at {state}" + (f" of {most}" if most is not None else ""))
    return tuple(found)


def event_counters(root: Path) -> dict[str, int]:
    """How often, since the machine started, something slowed it down, summed over the CPUs."""
    counters: dict[str, int] = {}
    cpus = root / "sys/devices/system/cpu"
    for kind, scope in (("CPU core too hot", "core"), ("CPU package too hot", "package")):
        counts = [integer(each) for each in entries(cpus, f"cpu[0-9]*/thermal_throttle/{scope}_throttle_count")]
        known = [count for count in counts if count is not None]
        if known:
            counters[kind] = sum(known)
    for chip in entries(root / "sys/class/hwmon", "hwmon*"):
        for file in entries(chip, "oc*_event_cnt"):
            count = integer(file)
            if count is not None:
                counters[f"over-current {file.name.removesuffix('_event_cnt')}"] = count
    return counters


def slowed_since(before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    """The kinds of event whose counter has risen."""
    return tuple(kind for kind, count in after.items() if kind in before and count > before[kind])


def _note(found: dict[str, float], name: str, millidegrees: int | None) -> None:
    if millidegrees is None or millidegrees / 1e3 < _COLDEST:
        return
    key, number = name, 2
    while key in found:  # two zones of one type, such as "acpitz"
        key, number = f"{name} {number}", number + 1
    found[key] = millidegrees / 1e3
