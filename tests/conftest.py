"""What holds for every test: nothing is written to the cache folder of the user who runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edgefer.cache_folder import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(tmp_path_factory.mktemp("edgefer-cache"))
    yield
    if before is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = before
