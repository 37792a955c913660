"""The base cases run the device code: at least 95 % of its lines."""

from __future__ import annotations

import shutil

import pytest

from kernels.tools.coverage import LIMIT, Lines, measure, table, total
from kernels.tools.operations import OPERATIONS
from kernels.tools.toolchain import Toolchain


def test_the_base_cases_run_the_device_code(host: Toolchain) -> None:
    if shutil.which("gcov") is None:
        pytest.skip("no gcov")
    files = measure(OPERATIONS)
    assert total(files) >= LIMIT, table(files)


def test_shares() -> None:
    files = {"a.cuh": Lines(frozenset(range(1, 11)), frozenset(range(1, 10))), "b.cuh": Lines(frozenset(), frozenset())}
    assert files["a.cuh"].share == 0.9
    assert files["b.cuh"].share == 1.0
    assert total(files) == 0.9
    assert "90.0% of   10 a.cuh, not: 10" in table(files)
