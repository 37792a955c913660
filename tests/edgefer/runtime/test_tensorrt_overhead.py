"""What an inference costs the host, in calls and in memory, beside what the driver does."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest
import simulated_session as tiny
from opened_runner import opened
from simulation import simulate

MOST_CALLS = 40
"""Of functions in Python, for one inference: as many as there are, and a tenth. A choice."""

MOST_BLOCKS = 100
"""Of the interpreter's memory, that thousands of inferences may leave: interned numbers, lists of free objects."""


@contextmanager
def idle_driver() -> Iterator[tuple[Any, dict[str, Any]]]:
    """A runner whose driver does nothing any more and keeps no record, and inputs in GPU memory that are bound."""
    simulation = simulate(eager=True)
    with opened(simulation) as opening:
        arrays = opening.arrays(tiny.feeds())
        opening.runner.bind(arrays)
        bindings, context = simulation.bindings, opening.runner.device.current()
        done = (bindings.CUresult.CUDA_SUCCESS,)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("cuGraphLaunch", "cuEventRecord", "cuEventSynchronize"):
                patch.setattr(bindings, name, lambda *_: done, raising=False)
            patch.setattr(context, "_push", lambda *_: None)
            patch.setattr(context, "_pop", lambda *_: None)
            yield opening.runner, arrays


def ways(runner: Any, arrays: dict[str, Any]) -> dict[str, Callable[[], object]]:
    given = tiny.feeds()
    out = {"logits": np.zeros((1, 5), np.float32), "embedding": np.zeros((1, 8), np.float32)}
    return {
        "fresh results": lambda: runner.run(given),
        "results in place": lambda: runner.run(given, out),
        "bound arrays": lambda: runner.run(arrays, out),
        "submitted": lambda: runner.submit(given, out).wait(),
    }


def calls_of(action: Callable[[], object]) -> int:
    """How many functions in Python it calls."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def test_an_inference_calls_few_functions() -> None:
    with idle_driver() as (runner, arrays):
        for name, way in ways(runner, arrays).items():
            way()
            if name in ("fresh results", "results in place"):
                assert calls_of(way) <= MOST_CALLS, name
            assert calls_of(way) <= 2 * MOST_CALLS, name


def test_inferences_leave_no_memory_behind() -> None:
    with idle_driver() as (runner, arrays):
        for name, way in ways(runner, arrays).items():
            for _ in range(200):
                way()
            gc.collect()
            gc.disable()
            try:
                before = sys.getallocatedblocks()
                for _ in range(3000):
                    way()
                in_cycles = gc.collect()  # which also empties the interpreter's lists of free tuples
                left = sys.getallocatedblocks() - before
            finally:
                gc.enable()
            assert (in_cycles, left) <= (0, MOST_BLOCKS), name
