"""Energy of an x86 package and its memory, from the counters of RAPL.

Documentation/ABI/testing/sysfs-class-powercap and Documentation/power/powercap/powercap.rst of the kernel: energy_uj
counts microjoules and starts again at zero after max_energy_range_uj. Since Linux 5.10 only root may read it
(CVE-2020-8694). Tested on trees written from these documents; unmeasured on hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefer.benchmark.power.source import SourceName, SourceRail
from edgefer.kernel_files import ROOT, entries, integer, text

_ZONES = "sys/class/powercap"


@dataclass
class _Zone:
    """One counter, made to grow for ever: `joules` since it was first read."""

    name: str
    counter: Path
    span: int | None
    last: int | None = None
    grown: int = 0

    def joules(self) -> float | None:
        value = integer(self.counter)
        if value is None:
            return None
        if self.last is not None:
            step = value - self.last
            if step < 0:
                if self.span is None:
                    return None  # it started again, and how far it had counted is not known
                step += self.span + 1
            self.grown += step
        self.last = value
        return self.grown * 1e-6


class Rapl:
    """Packages and memory, in joules since the first reading. `find` makes one."""

    name: SourceName = "rapl"
    cumulative = True
    note = "Energy of the CPU packages, and of memory where it is counted (RAPL); the rest of the machine is not in it."

    def __init__(self, zones: tuple[_Zone, ...]) -> None:
        self._zones = zones
        self.rails = tuple(SourceRail(zone.name, _is_total(zone.name)) for zone in zones)

    @classmethod
    def find(cls, root: Path = ROOT) -> tuple[Rapl | None, str]:
        """The counters below `root`, or None and why there is none to read."""
        zones = [_zone(root, folder) for folder in entries(root / _ZONES, "intel-rapl:*")]
        if not zones:
            return None, "no RAPL counters (/sys/class/powercap/intel-rapl:*): a virtual machine, or not an x86 CPU"
        readable = [zone for zone in zones if zone.joules() is not None]
        if not any(_is_total(zone.name) for zone in readable):
            return None, (
                "the RAPL counters are readable by root alone, as in Linux since 5.10: run as root, or let the group "
                "of this user read /sys/class/powercap/intel-rapl:*/energy_uj"
            )
        return cls(tuple(readable)), ""

    def read(self) -> tuple[float | None, ...]:
        """Joules of every counter since it was first read; right as long as it comes round at most once between."""
        return tuple(zone.joules() for zone in self._zones)

    def close(self) -> None:
        """Nothing is held."""


def _zone(root: Path, folder: Path) -> _Zone:
    # intel-rapl:0 is a package, intel-rapl:0:1 a part of it.
    name = text(folder / "name") or folder.name
    if folder.name.count(":") > 1:
        parent = folder.name.rpartition(":")[0]
        name = f"{text(root / _ZONES / parent / 'name') or parent}/{name}"
    return _Zone(name, folder / "energy_uj", integer(folder / "max_energy_range_uj"))


def _is_total(name: str) -> bool:
    # Memory is not part of the package's counter; cores and uncore are; "psys" covers what its maker chose.
    return name.startswith("package") and ("/" not in name or name.endswith("/dram"))
