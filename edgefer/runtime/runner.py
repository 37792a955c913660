"""What a runner is: the one that executes a graph for a session, on the CPU or on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.progress import Reporter
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.device_array import DeviceArray
from edgefer.runtime.gpu_settings import GpuSettings

Feeds = Mapping[str, npt.NDArray[Any]]
DeviceFeeds = Mapping[str, npt.NDArray[Any] | DeviceArray]
Outputs = dict[str, npt.NDArray[Any]]


class Runner(Protocol):
    """Executes one graph. `run` may be called from several threads at once."""

    @property
    def versions(self) -> dict[str, str]:
        """The libraries it rests on."""

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        """The graph's inputs: name to shape, None for an axis of any length."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""

    @property
    def output_types(self) -> Mapping[str, np.dtype[Any]]:
        """The types of their elements, by name."""

    def run(self, feeds: Feeds, out: Feeds | None = None) -> Outputs:
        """All outputs by name, for float32 tensors by name that have the graph's shapes.

        Those that `out` has are written there and are those arrays; they have the shape and the type of the output.
        """

    def close(self) -> None:
        """Give back what it holds. Running it afterwards is an error of the caller."""


class Submitted(Protocol):
    """An inference under way."""

    @property
    def event(self) -> int | None:
        """The CUevent that is recorded behind it; None on the CPU."""

    def done(self) -> bool:
        """Whether `wait` would not wait."""

    def wait(self) -> Outputs:
        """All outputs by name, as `Runner.run` gives them, once they are there; its errors, too."""


class DeviceRunner(Runner, Protocol):
    """A runner on a GPU, which beside what `Runner` has takes arrays in its memory, and does not wait for answers."""

    @property
    def counters(self) -> Mapping[str, int]:
        """How often what was done, by name, such as replays of a CUDA graph and copies of arrays in GPU memory."""

    def run(self, feeds: DeviceFeeds, out: Feeds | None = None) -> Outputs:
        """As `Runner.run`."""

    def submit(self, feeds: DeviceFeeds, out: Feeds | None = None) -> Submitted:
        """Start an inference. Arrays on the host have been read on return; those in GPU memory have not."""

    def bind(self, arrays: Mapping[str, DeviceArray]) -> None:
        """Prepare for feeds with these inputs in these places, which are then read there without a copy."""


@dataclass(frozen=True)
class RunnerRequest:
    """What a runner is to execute, and how.

    `profile` is an empty folder for the runner to record the time of every layer in; None, and nothing is recorded.
    What the opening does beside loading the graph goes into `seconds`, by stage ("form": deriving the CPU's own form);
    what the runner was set to beyond the request goes into `settings`. `cpu_form` is read by onnxruntime alone: which
    form of the graph to run, see `edgefer.runtime.cpu_form`. `gpu` is read by TensorRT alone; None for the usual
    settings. `reporter` hears of a long opening, such as the compiling of an engine.
    """

    bundle: Bundle
    graph: GraphSpec
    threads: int | None
    optimise: bool
    profile: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    cpu_form: Asked = "auto"
    gpu: GpuSettings | None = None
    reporter: Reporter | None = None
