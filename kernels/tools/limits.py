"""The ceilings of kernels/limits.toml, and which entries are above them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).parents[1] / "limits.toml"


class Default(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For every entry; registers by architecture."""

    shared_bytes: int
    local_bytes: int
    registers: dict[str, int]


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For entries whose name fits the pattern `entries`: fewer registers, or the only ones allowed more."""

    entries: str
    registers: dict[str, int]
    reason: str = ""


class Wide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns of the entries that must load, and that must store, 16 bytes at a time in global memory."""

    loads: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. Of the rows that fit an entry the last one holds."""

    default: Default
    row: tuple[Row, ...] = ()
    wide: Wide = Wide()

    def registers(self, entry: str, architecture: str) -> int:
        """How many registers a thread of `entry` may take on `architecture`."""
        ceiling = self.default.registers[architecture]
        for row in self.row:
            if fnmatchcase(entry, row.entries):
                ceiling = row.registers.get(architecture, ceiling)
        return ceiling


@dataclass(frozen=True)
class Use:
    """What an entry takes: registers, static shared memory, stack frame, and spilled bytes (stores and loads)."""

    registers: int
    shared_bytes: int
    local_bytes: int
    spill_bytes: int = 0


def load(path: Path = FILE) -> Limits:
    """The ceilings."""
    return msgspec.convert(tomllib.loads(path.read_text()), Limits)


def violations(uses: Mapping[str, Use], architecture: str, limits: Limits) -> list[str]:
    """What is above a ceiling, one line each."""
    found = []
    for entry, use in sorted(uses.items()):
        allowed = limits.registers(entry, architecture)
        if use.registers > allowed:
            found.append(f"{entry}: {use.registers} registers on {architecture}, at most {allowed}")
        if use.shared_bytes > limits.default.shared_bytes:
            found.append(f"{entry}: {use.shared_bytes} bytes of static shared memory on {architecture}")
        if use.local_bytes > limits.default.local_bytes:
            found.append(f"{entry}: {use.local_bytes} bytes of local memory on {architecture}")
        if use.spill_bytes:
            found.append(f"{entry}: {use.spill_bytes} bytes of spilled registers on {architecture}")
    return found


def rows_that_fit_nothing(entries: Sequence[str], limits: Limits) -> list[str]:
    """Patterns of the file that no entry fits any more."""
    patterns = [row.entries for row in limits.row] + [*limits.wide.loads, *limits.wide.stores]
    return [pattern for pattern in patterns if not any(fnmatchcase(entry, pattern) for entry in entries)]
