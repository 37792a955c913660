"""The cases of kernels/cases, by operation, and a choice of them that launches every entry once."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType

from edgefer.kernels.plan import Gpu
from kernels.cases.case import Case
from kernels.tools.operations import OPERATIONS

__all__ = ["OPERATIONS", "all_cases", "module_of", "one_for_each_entry"]

SEED, RANDOM_CASES = 0, 30
"""Random cases of each operation, beside all of its base cases."""


def module_of(operation: str) -> tuple[ModuleType | None, str]:
    """The module with the cases of an operation, or None and what is missing here."""
    try:
        return importlib.import_module(f"kernels.cases.{operation}"), ""
    except ImportError as error:
        return None, f"its reference cannot be computed here: {error}"


def all_cases(module: ModuleType, gpu: Gpu) -> Iterator[Case]:
    """Every case of an operation, with the plans of `gpu`."""
    yield from module.base_cases(gpu)
    yield from module.random_cases(SEED, RANDOM_CASES, gpu)


def one_for_each_entry(cases: Iterable[Case]) -> dict[str, Case]:
    """The smallest case that launches it, by entry."""
    found: dict[str, Case] = {}
    for case in sorted(cases, key=_bytes):
        for launch in case.plan.launches:
            found.setdefault(launch.entry, case)
    return dict(sorted(found.items()))


def _bytes(case: Case) -> int:
    return sum(array.nbytes for array in case.inputs.values())
