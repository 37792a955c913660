"""Every operation on the cases that are always run, in three orders of threads, against float64 references."""

from __future__ import annotations

import pytest

from kernels.tools.emulator import Emulator
from kernels.tools.judge import failures
from kernels.tools.operations import OPERATIONS, base_cases_of, entries_of
from kernels.tools.toolchain import Toolchain

pytest.importorskip("torch", reason="the references are in float64 PyTorch")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_base_cases(host: Toolchain, operation: str) -> None:
    cases = base_cases_of(operation)
    assert len({case.name for case in cases}) == len(cases)
    assert failures(Emulator.build(entries_of(operation)), cases) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_entry_is_launched_by_some_base_case(operation: str) -> None:
    launched = {launch.entry for case in base_cases_of(operation) for launch in case.plan.launches}
    assert {entry.name for entry in entries_of(operation)} == launched
