"""What others take of the CPUs: the time between two readings of /proc/stat that was not this process's.

Documentation/filesystems/proc.rst, sections 1.1 (/proc/<pid>/stat) and 1.8 (/proc/stat). Both count in ticks of
1/USER_HZ, so that shares need no conversion.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from edgefer.kernel_files import text

# Below this many ticks (0.2 s on two CPUs) a share is mostly rounding.
_FEWEST_TICKS = 40


class Ticks(NamedTuple):
    """Cumulative ticks of all CPUs together, and of this process with the children that it has waited for."""

    total: int
    busy: int
    stolen: int
    own: int


class Share(NamedTuple):
    """Shares of all CPUs between two readings: taken by other processes, and taken by the hypervisor for others."""

    load: float
    stolen: float


def ticks(root: Path) -> Ticks | None:
    """The counters now; None where the kernel does not show them."""
    first = (text(root / "proc/stat") or "").split("\n", 1)[0].split()
    own = _own(root)
    if len(first) < 9 or first[0] != "cpu" or own is None:
        return None
    try:
        user, nice, system, idle, waiting, interrupt, soft, stolen = (int(each) for each in first[1:9])
    except ValueError:
        return None
    busy = user + nice + system + interrupt + soft
    return Ticks(total=busy + idle + waiting + stolen, busy=busy, stolen=stolen, own=own)


def share(before: Ticks | None, after: Ticks | None) -> Share | None:
    """What others took between two readings; None where one is missing or they are too close to tell.

    Children count as this process's own once they have been waited for, not before.
    """
    if before is None or after is None:
        return None
    total = after.total - before.total
    if total < _FEWEST_TICKS:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return Share(load=min(max(others / total, 0.0), 1.0), stolen=max(after.stolen - before.stolen, 0) / total)


def load_average(root: Path) -> float | None:
    """The mean number of runnable tasks over the last minute, this process's included."""
    words = (text(root / "proc/loadavg") or "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def _own(root: Path) -> int | None:
    # The name in brackets may hold spaces and brackets itself: what counts comes after the last one.
    _, bracket, rest = (text(root / "proc/self/stat") or "").rpartition(")")
    words = rest.split()
    try:
        return sum(int(each) for each in words[11:15]) if bracket and len(words) > 14 else None  # utime to cstime
    except ValueError:
        return None
