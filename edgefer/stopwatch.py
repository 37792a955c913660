"""How long the stages of something long took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note how many seconds the block took as `stage`."""
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started
