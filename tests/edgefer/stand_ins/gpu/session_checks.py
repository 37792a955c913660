"""Sessions on a simulated GPU as the checks open them, and what is asked of every one of them: that the answers are
right, and that in the end everything was given back. The checks need no pytest, so that a process with an altered
runtime can be held against them."""

from __future__ import annotations

import contextlib
import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import simulated_session as tiny
from simulated_gpu import ForeignArray
from simulation import Simulation, simulate

from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

LAUNCH = ["cuGraphLaunch", "cuEventRecord", "cuEventSynchronize"]
REPLAY = ["cuCtxPushCurrent", *LAUNCH, "cuCtxPopCurrent"]
"""All calls of an inference, once it is ready."""
BUNDLES = {batches: tiny.bundle(batches) for batches in ((1, 4), (1,))}


@dataclass(frozen=True)
class Setting:
    """What the checks are run under."""

    streams: int = 1
    integrated: bool = False
    version: str = "10.3.0"
    batches: tuple[int, ...] = (1, 4)
    graphs: bool = True


ONE, TWO = Setting(), Setting(streams=2)


@contextlib.contextmanager
def opened(setting: Setting = ONE, **options: Any) -> Iterator[tuple[Session, Simulation]]:
    """A session on a GPU of its own. At the end everything has to have been given back, in good order."""
    simulation = simulate(integrated=setting.integrated, version=setting.version)
    with prepared(simulation, setting, **options) as open_session:
        session = open_session()
        try:
            yield session, simulation
        finally:
            session.close()
        session.close()
        assert_given_back(simulation)


@contextlib.contextmanager
def prepared(simulation: Simulation, setting: Setting = ONE, **options: Any) -> Iterator[Callable[[], Session]]:
    """How sessions on a simulated GPU are opened; the engine is in the cache after the first."""
    with tempfile.TemporaryDirectory(prefix="edgefer-gpu-") as cache, tiny.in_place(simulation, **options):
        settings = GpuSettings(streams=setting.streams, graphs=setting.graphs, cache=cache)
        yield lambda: Session(BUNDLES[setting.batches], device="tensorrt", gpu=settings)


def assert_given_back(simulation: Simulation) -> None:
    """Nothing is left, nothing undefined happened, and each thing went before what it needs."""
    gpu = simulation.gpu
    if gpu.open():
        gc.collect()  # which takes as long as opening a session
    gpu.assert_clean()
    assert gpu.abandoned == []


def assert_answer(session: Session, given: Mapping[str, Any], answer: Any) -> None:
    """An answer to one example is that of the network."""
    np.testing.assert_allclose(answer.logits, tiny.logits(given)[0], atol=1e-5)


def names(calls: list[tuple[str, tuple[Any, ...]]]) -> list[str]:
    return [name for name, _ in calls]


def arrays_of(simulation: Simulation, given: Mapping[str, Any], stream: int | None = None) -> dict[str, ForeignArray]:
    """The same in the GPU's memory, ready behind a stream, or at once."""
    return {name: simulation.gpu.foreign_array(value, stream) for name, value in given.items()}
