"""The small files in which Linux tells about the machine (/proc, /sys, the device tree): absent or unreadable is None.

A sensor that is asleep answers with an error, a container hides half of /sys, and another kernel has other files; none
of that is a reason to fail, so nothing here raises.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")


def text(path: Path) -> str | None:
    """What the file says, without white space around it and without the zero bytes that end device-tree strings."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def integer(path: Path) -> int | None:
    """The whole number that the file begins with; None where it begins with something else."""
    words = (text(path) or "").split()
    try:
        return int(words[0])
    except (IndexError, ValueError):
        return None


def entries(folder: Path, pattern: str) -> tuple[Path, ...]:
    """What lies in `folder` and fits `pattern`, in the order a person counts: hwmon2 before hwmon10."""
    try:
        found = list(folder.glob(pattern))
    except OSError:
        return ()
    return tuple(sorted(found, key=_natural))


def numbers(ranges: str) -> tuple[int, ...]:
    """The CPUs in a list such as "0-3,8" (the kernel's cpulist format); empty where it is not one."""
    found: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return ()
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def field(path: Path, name: str) -> str | None:
    """The value of the first line "name: value" in a file such as /proc/self/status."""
    for line in (text(path) or "").splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None


def memory(name: str, root: Path = ROOT) -> int | None:
    """A line of /proc/meminfo ("MemTotal", "MemAvailable", "SwapTotal") in bytes; the file counts in KiB."""
    words = (field(root / "proc/meminfo", name) or "").split()
    return int(words[0]) * 1024 if words and words[0].isdecimal() else None


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
