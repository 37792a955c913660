"""A GPU that is made up, for the tests of the check of a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# `fake_gpu` lies beside the tests that use it, and the simulated GPU is that of edgefer's own tests.
sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2] / "edgefer" / "stand_ins"))
sys.path.append(str(Path(__file__).parents[2] / "edgefer" / "stand_ins" / "gpu"))

from fake_gpu import FakeGpu, binaries

from benchmarks.gpu_check.gpu import Gpu, opened
from edgefer.kernels.driver import Driver


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Binaries with every entry."""
    return binaries(tmp_path_factory.mktemp("binaries"))


@pytest.fixture
def fake() -> FakeGpu:
    """A GPU that computes nothing."""
    return FakeGpu()


@pytest.fixture
def gpu(fake: FakeGpu, folder: Path) -> Iterator[Gpu]:
    with opened(Driver(fake), folder) as found:
        yield found
