"""Every operation on cases drawn at random: odd sizes, ragged tails, batches, all forms, four GPUs' plans.

EDGEFER_KERNEL_SEED chooses other cases; a failure names its own.
"""

from __future__ import annotations

import os

import pytest

from kernels.tools.emulator import Emulator
from kernels.tools.judge import failures
from kernels.tools.operations import OPERATIONS, entries_of, random_cases_of
from kernels.tools.toolchain import Toolchain

pytest.importorskip("torch", reason="the references are in float64 PyTorch")

SEED = int(os.environ.get("EDGEFER_KERNEL_SEED", "20"))
COUNT = 150


@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_cases(host: Toolchain, operation: str) -> None:
    emulator = Emulator.build(entries_of(operation))
    cases = random_cases_of(operation, SEED, COUNT // len(OPERATIONS))
    assert failures(emulator, cases, seed=SEED) == [], f"EDGEFER_KERNEL_SEED={SEED}"


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_more_random_cases(host: Toolchain, operation: str) -> None:
    emulator = Emulator.build(entries_of(operation))
    cases = random_cases_of(operation, SEED + 1000, COUNT)
    assert failures(emulator, cases, seed=SEED) == [], f"EDGEFER_KERNEL_SEED={SEED}"
