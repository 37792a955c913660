"""The same cases with sanitisers: alignment, bounds, integer arithmetic, and accesses that no barrier orders."""

from __future__ import annotations

import pytest

from kernels.tools.emulator import Emulator
from kernels.tools.judge import failures
from kernels.tools.operations import OPERATIONS, base_cases_of, entries_of, random_cases_of
from kernels.tools.toolchain import Toolchain

pytest.importorskip("torch", reason="the references are in float64 PyTorch")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_small_cases(host: Toolchain, operation: str) -> None:
    # Ten times slower, so each set of entries on its smallest base case, and a few random ones.
    chosen = {}
    for case in sorted(base_cases_of(operation), key=lambda each: sum(array.nbytes for array in each.inputs.values())):
        chosen.setdefault(frozenset(launch.entry for launch in case.plan.launches), case)
    cases = [*chosen.values(), *random_cases_of(operation, 30, 8)]
    assert failures(Emulator.build(entries_of(operation), sanitise=True), cases, ("forward",)) == []


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_all_cases(host: Toolchain, operation: str) -> None:
    cases = [*base_cases_of(operation), *random_cases_of(operation, 31, 40)]
    emulator = Emulator.build(entries_of(operation), sanitise=True, limit_s=600.0)
    assert failures(emulator, cases, ("forward", "random")) == []
