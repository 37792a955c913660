"""The operations that have kernels: their entries, and the cases that hold them."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

from edgefer.kernels.plan import HOPPER, ORIN, THOR, Entry, Gpu
from kernels.cases.case import Case

OPERATIONS = ("cbam", "channel_gate", "gated_pool", "gated_fusion", "local_gate", "preprocess")

GPUS: tuple[Gpu, ...] = (ORIN, replace(ORIN, multiprocessors=8), THOR, HOPPER)
"""Plans depend on the GPU: the more multiprocessors, the smaller the parts that a block takes."""


def named(name: str) -> str:
    """An operation named on a command line.

    Raises:
        argparse.ArgumentTypeError: there is none of this name.
    """
    if name not in OPERATIONS:
        raise argparse.ArgumentTypeError(f"{name!r} has no kernels; expected some of {', '.join(OPERATIONS)}")
    return name


def entries_of(operation: str) -> tuple[Entry, ...]:
    """All entries of an operation."""
    entries: tuple[Entry, ...] = importlib.import_module(f"edgefer.kernels.{operation}").ENTRIES
    return entries


def base_cases_of(operation: str) -> list[Case]:
    """The cases that are always run."""
    cases: list[Case] = _cases(operation).base_cases()
    return cases


def random_cases_of(operation: str, seed: int, count: int) -> Iterator[Case]:
    """`count` cases drawn with `seed`, spread over `GPUS`."""
    for index, gpu in enumerate(GPUS):
        share = count // len(GPUS) + (index < count % len(GPUS))
        if share:
            yield from _cases(operation).random_cases(seed + index, share, gpu)


def _cases(operation: str) -> ModuleType:
    return importlib.import_module(f"kernels.cases.{operation}")
