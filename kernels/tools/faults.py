"""What the host's imitation of a GPU finds wrong with a kernel, besides wrong numbers."""

from __future__ import annotations

from typing import Literal, get_args

from edgefer.errors import EdgeferError

FaultKind = Literal[
    "out of bounds",
    "divergent barrier",
    "different barriers",
    "lane left",
    "copy not waited for",
    "misaligned",
    "undefined",
    "race",
    "timeout",
    "trap",
    "host",
    "launch",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""In the order of `Kind` in kernels/host/report.hpp, whose first is 1; `launch` is found before anything runs."""

_HINTS: dict[FaultKind, str] = {
    "out of bounds": "compare the index with the sizes in the parameters",
    "divergent barrier": "every thread of a block must reach every __syncthreads(); return after the last one only",
    "different barriers": "all threads of a block must take the same way to a barrier",
    "lane left": "every lane of a mask must reach the shuffle; let lanes without work hand in a neutral value",
    "copy not waited for": "call copy_async_wait() before the values are read, and before the kernel ends",
    "misaligned": "16-byte accesses need offsets that are multiples of 16 bytes",
    "undefined": "the result would depend on the compiler",
    "race": "put a __syncthreads() between the two accesses, or show that one thread does both",
    "timeout": "look for a loop whose end a thread never reaches",
    "trap": "the kernel itself gave up",
    "host": "this is a limit of the imitation: see kernels/host",
    "launch": "correct the launch plan",
}


class EmulationFault(EdgeferError):
    """A kernel did what a GPU does not allow or does not promise.

    `entry` is the kernel, `block` its block index, `thread` its thread (-1 where the fault is of the whole block).
    """

    def __init__(
        self, kind: FaultKind, entry: str, found: str, *, block: tuple[int, int, int] = (0, 0, 0), thread: int = -1
    ) -> None:
        who = f"block {block}" + (f", thread {thread}" if thread >= 0 else "")
        super().__init__(f"{kind}: {entry}, {who}: {found}", hint=_HINTS[kind])
        self.kind = kind
        self.entry = entry
        self.block = block
        self.thread = thread
        self.found = found

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.kind, self.entry, self.found, self.block, self.thread))


def _rebuild(kind: FaultKind, entry: str, found: str, block: tuple[int, int, int], thread: int) -> EmulationFault:
    return EmulationFault(kind, entry, found, block=block, thread=thread)
