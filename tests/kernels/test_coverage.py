"""The base cases run the device code: at least 95 % of its lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import planted_kernels
import pytest

from kernels.tools.coverage import LIMIT, Lines, lines_of, measure, table, total
from kernels.tools.operations import OPERATIONS
from kernels.tools.toolchain import ROOT, Toolchain


def test_the_base_cases_run_the_device_code(host: Toolchain) -> None:
    if shutil.which("gcov") is None:
        pytest.skip("no gcov")
    pytest.importorskip("torch", reason="the references are in float64 PyTorch")
    files = measure(OPERATIONS)
    assert total(files) >= LIMIT, table(files)


SCRIPT = """
import sys
from pathlib import Path
import planted_kernels
from kernels.tools.emulator import Emulator
from kernels.tools.host_build import Variant
root, n = Path(sys.argv[1]), int(sys.argv[2])
entries = [entry for entry in planted_kernels.ENTRIES if entry.name == "planted_one_of_two"]
variant = Variant(coverage=True, include=planted_kernels.FOLDER, root=root)
emulator = Emulator.build(entries, variant=variant)
planted_kernels.run(emulator, planted_kernels.plan("one_of_two", n, workspace=True))
"""


@pytest.mark.parametrize("n", [0, 1])
def test_a_line_that_no_case_runs_is_found(host: Toolchain, tmp_path: Path, n: int) -> None:
    if shutil.which("gcov") is None:
        pytest.skip("no gcov")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(n)]
    paths = os.pathsep.join([str(ROOT), str(planted_kernels.FOLDER)])
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": paths})
    (counters,) = tmp_path.glob("*/device.gcda")
    header = planted_kernels.FOLDER / "device/planted.cuh"
    text = header.read_text().splitlines()
    found = lines_of([counters.parent], planted_kernels.FOLDER)["device/planted.cuh"]
    missed = {text[line - 1].strip() for line in found.code - found.run}
    assert missed == ({"p.y[at()] = 1.0f;"} if n == 0 else {"p.y[at()] = 0.0f;"})


def test_shares() -> None:
    files = {"a.cuh": Lines(frozenset(range(1, 11)), frozenset(range(1, 10))), "b.cuh": Lines(frozenset(), frozenset())}
    assert files["a.cuh"].share == 0.9
    assert files["b.cuh"].share == 1.0
    assert total(files) == 0.9
    assert "90.0% of   10 a.cuh, not: 10" in table(files)
