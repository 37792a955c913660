"""A real `TensorRtRunner` on a simulated GPU, opened as a session opens it, without the session."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simulated_session as tiny
from simulation import Simulation

from edgefer.runtime.device_array import DeviceArray, device_array
from edgefer.runtime.gpu.machine import Machine
from edgefer.runtime.gpu.tensorrt_open import open_tensorrt
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.tensorrt import TensorRtRunner

QUICK = Machine(warm_up_runs=2, warm_up_seconds=0.1)
BUNDLES = {
    (batches, golden): tiny.bundle(batches, golden=golden) for batches in ((1, 4), (1,), (2,)) for golden in (4, 0)
}


@dataclass
class Opening:
    """One opening: `request` has what was said of it."""

    runner: TensorRtRunner
    request: RunnerRequest
    simulation: Simulation

    def arrays(self, given: dict[str, Any], stream: int | None = None) -> dict[str, DeviceArray]:
        """The same in GPU memory."""
        found = {name: self.simulation.gpu.foreign_array(value, stream) for name, value in given.items()}
        return {name: array for name, each in found.items() if (array := device_array(each, name)) is not None}


def request(
    cache: Any, *, batches: tuple[int, ...] = (1, 4), golden: int = 4, bundle: Any = None, **settings: Any
) -> RunnerRequest:
    made = bundle or BUNDLES[batches, golden]
    return RunnerRequest(made, made.manifest.graphs[0], None, True, gpu=GpuSettings(cache=cache, **settings))


@contextlib.contextmanager
def opened(simulation: Simulation, options: dict[str, Any] | None = None, **asked: Any) -> Iterator[Opening]:
    """A runner with a cache of its own; in the end everything has to have been given back. `options` are those of
    `EngineSpec`, `asked` those of `request`."""
    with (
        tempfile.TemporaryDirectory(prefix="edgefer-gpu-") as cache,
        tiny.in_place(simulation, **(options or {})),
    ):
        wanted = request(cache, **asked)
        runner = open_tensorrt(wanted, QUICK)
        try:
            yield Opening(runner, wanted, simulation)
        finally:
            runner.close()
    assert simulation.gpu.abandoned == []
    simulation.gpu.assert_clean()


def check(found: dict[str, Any], given: dict[str, Any]) -> None:
    """Outputs are those of the network for these inputs."""
    np.testing.assert_allclose(found["logits"], tiny.logits(given), atol=1e-5)
