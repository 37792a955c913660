"""How much scratch memory the builder gets on a device whose GPU works in the host's memory.

The limit that was asked for is part of an engine's key, so that the same question finds the same engine. What the
builder is given may be less: on a Jetson every byte of it is taken from the rest of the system, and a build that drives
the system out of memory is killed with everything beside it. That bound depends on the minute and so stands in the
report alone.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgefer.engine.driver import Gpu
from edgefer.errors import EnvironmentMismatch

SHARE = 0.5
"""The builder's workspace gets at most this much of the memory that is free: weights, plan and parser need the rest."""

LEAST_FREE_BYTES = 256 << 20
"""With less than this free no build is tried: CUDA's own context and a small network are about as large. A choice, not
a measurement."""

_MEMINFO = Path("/proc/meminfo")
_MIB = 1 << 20


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """The builder's scratch memory in bytes: what was asked for, and what it was given.

    `free_bytes` is what the system had left when that was decided; None where it does not matter or is not known.
    """

    asked_bytes: int
    given_bytes: int
    free_bytes: int | None = None

    @property
    def warning(self) -> str:
        """What the reader of a report should know; empty where the builder was given what was asked for."""
        if self.given_bytes >= self.asked_bytes or self.free_bytes is None:
            return ""
        given, asked, free = (size // _MIB for size in (self.given_bytes, self.asked_bytes, self.free_bytes))
        return (
            f"the builder's workspace was bounded to {given} MiB of the {asked} MiB asked for: {SHARE:.0%} of the "
            f"{free} MiB that were free; kernels that need more were not considered"
        )


def bounded(asked_bytes: int, gpu: Gpu | None, meminfo: Path = _MEMINFO) -> Workspace:
    """What the builder may be given on this device: `asked_bytes`, or less where the GPU shares the host's memory.

    Raises:
        EnvironmentMismatch: so little is free that no build is worth a try.
    """
    free = free_memory(meminfo) if gpu is not None and gpu.integrated else None
    if free is None:
        return Workspace(asked_bytes=asked_bytes, given_bytes=asked_bytes)
    if free < LEAST_FREE_BYTES:
        raise EnvironmentMismatch(
            f"{free // _MIB} MiB of memory are free, which GPU and system share here; compiling needs at least "
            f"{LEAST_FREE_BYTES // _MIB} MiB",
            hint="stop what else runs (a desktop, a browser), or bring the engine from another device: "
            "`edgefer cache import`",
        )
    return Workspace(asked_bytes=asked_bytes, given_bytes=min(asked_bytes, int(free * SHARE)), free_bytes=free)


def free_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that processes can still take without swapping (Linux's MemAvailable); None where nobody says.

    Swap does not count: memory that a GPU works in is not swapped.
    """
    try:
        lines = meminfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemAvailable" and words and words[0].isdigit():
            return int(words[0]) * 1024
    return None
