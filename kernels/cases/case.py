"""One case: memory going in, the plan, and a judgement on the memory that comes out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefer.kernels.plan import Plan

Memory = Mapping[str, NDArray[Any]]
"""Arrays by the structure's field that holds their address."""


@dataclass(frozen=True)
class Buffer:
    """Memory that a kernel writes."""

    shape: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True)
class Case:
    """`judge` is given the outputs and returns what is wrong with them, or "" where nothing is.

    It compares with a reference in float64 that shares no code with the kernel; its tolerance is that of the form:
    `error_of` below.
    """

    name: str
    plan: Plan
    structure: type[ctypes.Structure]
    inputs: Memory
    outputs: Mapping[str, Buffer]
    judge: Callable[[Memory], str]


class Machine(Protocol):
    """Whatever runs a plan: the host's imitation or a GPU."""

    def run(
        self, plan: Plan, structure: type[ctypes.Structure], inputs: Memory, outputs: Mapping[str, Buffer]
    ) -> dict[str, NDArray[Any]]: ...


TOLERANCE: dict[str, float] = {"f32": 1e-5, "f16": 1e-3}
"""Of |a - b| / (1 + |b|), by the element type of the output."""


def error_of(element: str, found: NDArray[Any], expected: NDArray[np.float64]) -> str:
    """What is wrong with `found`, or "". INT8 (`expected` in steps, unrounded) may be one step from the rounded one."""
    values = found.astype(np.float64)
    if values.shape != expected.shape:
        return f"shape {values.shape}, expected {expected.shape}"
    if element == "i8":
        off = np.abs(values - np.clip(np.rint(expected), -128, 127))
        worst, limit = float(off.max(initial=0.0)), 1.0
    else:
        off = np.abs(values - expected) / (1.0 + np.abs(expected))
        off = np.where(np.isnan(off), np.inf, off)
        worst, limit = float(off.max(initial=0.0)), TOLERANCE[element]
    if worst <= limit:
        return ""
    where = tuple(int(index) for index in np.unravel_index(int(off.argmax()), off.shape))
    return f"off by {worst:.3g} (limit {limit:g}) at {where}: {values[where]:.6g}, expected {expected[where]:.6g}"
