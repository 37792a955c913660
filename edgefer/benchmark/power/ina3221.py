"""Power of a Jetson's supplies, from the INA3221 monitors on its board.

Documentation/hwmon/ina3221.rst of the kernel: in[123]_label names a channel, in[123]_input is its bus voltage in mV,
curr[123]_input its current in mA; higher numbers are shunt voltages and sums. JetPack 4 has the same chips under
drivers/ina3221x as iio devices: rail_name_N and in_powerN_input in mW. An AGX Thor adds an INA238
(Documentation/hwmon/ina238.rst: power1_input in uW) on its input, VIN. What feeds what: NVIDIA's Jetson Linux Developer
Guide. Tested on trees written from these documents; unmeasured on hardware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgefer.benchmark.power.source import SourceName, SourceRail
from edgefer.kernel_files import ROOT, entries, integer, text

_DRIVERS = "sys/bus/i2c/drivers"
# Rails through which everything else on the module is fed. Where there is none (AGX Xavier, AGX Orin), the rails are
# side by side and add up.
_INPUTS = ("VDD_IN", "VIN", "POM_5V_IN")
# Counted in VIN_SYS_5V0 already, by the Developer Guide's table for AGX Orin.
_PARTS = ("VDDQ_VDD2_1V8AO",)
_CHANNEL = re.compile(r"in([123])_label$")


@dataclass(frozen=True)
class _Channel:
    """The files of one channel: their product, times `scale`, is in watts."""

    name: str
    files: tuple[Path, ...]
    scale: float

    def watts(self) -> float | None:
        product = self.scale
        for file in self.files:
            value = integer(file)
            if value is None:
                return None
            product *= value
        return product


class Ina3221:
    """The rails of a Jetson, in watts at the moment of reading. `find` makes one."""

    name: SourceName = "ina3221"
    cumulative = False

    def __init__(self, channels: tuple[_Channel, ...]) -> None:
        names = [each.name for each in channels]
        inputs = [name for name in _INPUTS if name in names][:1]
        totals = inputs or [name for name in names if name not in _PARTS]
        self._channels = channels
        self.rails = tuple(SourceRail(name, name in totals) for name in names)
        self.note = (
            f"Power at the module's input ({inputs[0]}); the carrier board may draw more."
            if inputs
            else f"The sum of {' + '.join(totals)}; the carrier board's own consumption is not measured."
        )

    @classmethod
    def find(cls, root: Path = ROOT) -> Ina3221 | None:
        """The monitors below `root`; None where there is none, or none of whose channels answers."""
        found: dict[str, _Channel] = {}
        for each in (*_hwmon(root), *_iio(root), *_input(root)):
            if each.name not in found and each.watts() is not None:
                found[each.name] = each
        return cls(tuple(found.values())) if found else None

    def read(self) -> tuple[float | None, ...]:
        """Watts of every rail, read one after the other."""
        return tuple(each.watts() for each in self._channels)

    def close(self) -> None:
        """Nothing is held."""


def _hwmon(root: Path) -> list[_Channel]:
    found = []
    for chip in entries(root / _DRIVERS / "ina3221", "*/hwmon/hwmon*"):
        for label in entries(chip, "in*_label"):
            match, name = _CHANNEL.match(label.name), text(label)
            if match is None or not name or name == "NC" or integer(chip / f"in{match[1]}_enable") == 0:
                continue
            files = (chip / f"in{match[1]}_input", chip / f"curr{match[1]}_input")
            found.append(_Channel(name, files, 1e-6))
    return found


def _iio(root: Path) -> list[_Channel]:
    found = []
    for chip in entries(root / _DRIVERS / "ina3221x", "*/iio:device*"):
        for label in entries(chip, "rail_name_*"):
            name, number = text(label), label.name.removeprefix("rail_name_")
            if name and name != "NC":
                found.append(_Channel(name, (chip / f"in_power{number}_input",), 1e-3))
    return found


def _input(root: Path) -> list[_Channel]:
    chips = entries(root / _DRIVERS / "ina238", "*/hwmon/hwmon*")
    return [_Channel(text(chip / "in1_label") or "VIN", (chip / "power1_input",), 1e-6) for chip in chips]
