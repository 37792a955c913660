"""The kernels of planted.cuh as entries, and one call that runs one of them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.kernels.plan import Entry, Launch, Plan
from kernels.cases.case import Buffer
from kernels.tools.emulator import Emulator, Schedule

FOLDER = Path(__file__).parent
THREADS = 64
BLOCKS = 3
COUNT = THREADS * BLOCKS

_VARIANTS = {
    "rotate": "rotate<33, true>",
    "rotate_without": "rotate<33, false>",
    "reuse": "reuse<true>",
    "reuse_without": "reuse<false>",
    "copies": "copies<true, true>",
    "copies_without_wait": "copies<false, true>",
    "copies_without_barrier": "copies<true, false>",
    "within_warp": "within_warp<true>",
    "within_warp_without": "within_warp<false>",
}
_PLAIN = (
    "returns_before_a_barrier",
    "two_barriers",
    "ragged_shuffle",
    "shuffle_against_barrier",
    "not_in_its_mask",
    "reads_past",
    "writes_past",
    "writes_before",
    "writes_input",
    "reads_absent",
    "workspace_past",
    "shared_past",
    "shared_before",
    "uninitialised",
    "waits_late",
    "copies_askew",
    "copies_past",
    "loads_askew",
    "array_past",
    "integer_past",
    "lost_update",
    "between_blocks",
    "order",
    "shuffles",
    "half_of_int8",
    "endless",
    "large_frame",
    "one_of_two",
    "gives_up",
)


class PlantedParams(ctypes.Structure):
    """As in planted.cuh."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("absent", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("q", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("n", ctypes.c_int),
    )


ENTRIES = tuple(
    Entry(f"planted_{name}", "device/planted.cuh", f"planted::{body}", "PlantedParams", THREADS)
    for name, body in {**_VARIANTS, **dict(zip(_PLAIN, _PLAIN, strict=True))}.items()
)


def x() -> NDArray[np.float32]:
    """The input: 1, 2, 3, ... of all blocks."""
    return np.arange(1, COUNT + 1, dtype=np.float32)


def plan(
    name: str, n: int = 0, *, shared_bytes: int = 4 * THREADS, workspace: bool = False, blocks: int = BLOCKS
) -> Plan:
    """One launch of a planted kernel."""
    launch = Launch(f"planted_{name}", (blocks, 1, 1), THREADS, shared_bytes)
    return Plan((launch,), {"n": n}, 4 * COUNT if workspace else 0)


def run(
    emulator: Emulator,
    wanted: Plan,
    schedule: Schedule = "forward",
    outputs: Mapping[str, Buffer] | None = None,
    seed: int = 0,
) -> dict[str, NDArray[Any]]:
    """Run it on `x()`, with an output y of the same size unless others are given."""
    buffers = {"y": Buffer((COUNT,), np.float32)} if outputs is None else outputs
    return emulator.run(wanted, PlantedParams, {"x": x()}, buffers, schedule=schedule, seed=seed)
