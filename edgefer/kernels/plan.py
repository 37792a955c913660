"""Launch plans as data: what is launched, on how many threads, with how much memory. Plugins, tests and measurements
share them, and the C++ library computes the same ones."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A kernel as it is found in a binary: its `name`, and how it is made from device code.

    The source is `extern "C" __global__ void NAME(PARAMETERS p) { BODY(p); }`, where BODY is a device function template
    of `header` with its arguments. `parameters` is a C structure that is passed by value.
    """

    name: str
    header: str
    body: str
    parameters: str
    threads: int


@dataclass(frozen=True)
class Launch:
    """One launch. `block` is the number of threads, `shared_bytes` the dynamic shared memory."""

    entry: str
    grid: tuple[int, int, int]
    block: int
    shared_bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """The launches of one operation, in order on one stream, all with the same parameters.

    `parameters` are the fields of the structure that are no addresses. The field `workspace` is the address of
    `workspace_bytes` of scratch memory, aligned to 256 bytes, of any content.
    """

    launches: tuple[Launch, ...]
    parameters: Mapping[str, int | float]
    workspace_bytes: int = 0


@dataclass(frozen=True)
class Gpu:
    """What a plan depends on: `shared_bytes` that one block may ask for (opted in), number of multiprocessors."""

    compute_capability: str
    multiprocessors: int
    shared_bytes: int


ORIN = Gpu("8.7", 16, 166_912)
"""Jetson AGX Orin; smaller Orins have 8 multiprocessors."""
HOPPER = Gpu("9.0", 132, 232_448)
THOR = Gpu("11.0", 20, 232_448)


def fill(structure: type[ctypes.Structure], plan: Plan, addresses: Mapping[str, int]) -> ctypes.Structure:
    """The parameters of a plan with addresses put in. Fields that neither names are zero: an input left out."""
    values = structure()
    for name, value in {**plan.parameters, **addresses}.items():
        if name not in {field[0] for field in structure._fields_}:
            raise KeyError(f"{structure.__name__} has no field {name!r}")
        setattr(values, name, value)
    return values
