"""Device code on the host: skipped where there is no g++ or where CUDA's headers are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgefer.errors import EnvironmentMismatch
from kernels.tools.emulator import Emulator
from kernels.tools.toolchain import Toolchain, toolchain

# `planted_kernels` lies beside the tests that use it, `opencv_rounding` beside what other tests share.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "edgefer" / "stand_ins")]

import planted_kernels


@pytest.fixture(scope="session")
def host() -> Toolchain:
    """The compiler and headers; asking for it skips a test where there are none."""
    try:
        return toolchain()
    except EnvironmentMismatch as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def planted(host: Toolchain) -> Emulator:
    """The kernels of planted.cuh."""
    return Emulator.build(planted_kernels.ENTRIES, include=planted_kernels.FOLDER, limit_s=0.25)


@pytest.fixture(scope="session")
def sanitised(host: Toolchain) -> Emulator:
    """The same with sanitisers and race detection."""
    return Emulator.build(planted_kernels.ENTRIES, include=planted_kernels.FOLDER, sanitise=True)
