"""What holds for every test: nothing is written to the cache folder of the user who runs them, and no GPU is seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from edgefer.cache_folder import VARIABLE
from edgefer.engine.driver import cuda_driver


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(tmp_path_factory.mktemp("edgefer-cache"))
    yield
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before


@pytest.fixture(scope="session", autouse=True)
def _no_gpu() -> Iterator[None]:
    """Sessions run on the CPU on a machine with a GPU, too, unless a test simulates one."""

    def hidden(name: str) -> Any:
        raise OSError(f"{name}: hidden from tests")

    with mock.patch.object(cuda_driver, "__defaults__", (hidden,)):
        yield
