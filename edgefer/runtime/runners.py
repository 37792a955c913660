"""What executes a graph: a table of runners, of which a session takes the first that fits the device asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import EnvironmentMismatch, UsageError
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner

Feeds = Mapping[str, npt.NDArray[Any]]


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

    def run(self, feeds: Feeds) -> dict[str, npt.NDArray[Any]]:
        """All outputs by name, for float32 tensors by name that have the graph's shapes."""

    def close(self) -> None:
        """Give back what it holds. Running it afterwards is an error of the caller."""


@dataclass(frozen=True)
class RunnerRequest:
    """What a runner is to execute, and how.

    `profile` is an empty folder for the runner to record the time of every layer in; None, and nothing is recorded.
    What the opening does beside loading the graph goes into `seconds`, by stage ("form": deriving the CPU's own form).
    """

    bundle: Bundle
    graph: GraphSpec
    threads: int | None
    optimise: bool
    profile: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunnerEntry:
    """One kind of runner: the device it serves, why it cannot be had here (None: it can), and how it is opened."""

    name: str
    device: str
    unavailable: Callable[[], str | None]
    open: Callable[[RunnerRequest], Runner]


@dataclass(frozen=True)
class Opened:
    """A runner with its name and the reason for its choice."""

    runner: Runner
    name: str
    why: str


def _tensorrt_unavailable() -> str | None:
    return (
        "sessions of this version of edgefer run on the CPU through onnxruntime only; it compiles engines, and a "
        "later version will run them"
    )


def _open_tensorrt(request: RunnerRequest) -> Runner:
    raise EnvironmentMismatch(f"device 'tensorrt' is not available: {_tensorrt_unavailable()}")


def _open_onnxruntime(request: RunnerRequest) -> Runner:
    # In half precision this optimisation of onnxruntime quantises weights and biases that the graph keeps as they are.
    disabled = ("WeightBiasQuantization",) if request.bundle.manifest.precision == "int8+fp16" else ()
    return OnnxRuntimeRunner(
        request.bundle.onnx(request.graph),
        threads=request.threads,
        optimise=request.optimise,
        disabled=disabled,
        profile=request.profile,
    )


# In the order in which "auto" tries them.
RUNNERS: tuple[RunnerEntry, ...] = (
    RunnerEntry("tensorrt", "tensorrt", _tensorrt_unavailable, _open_tensorrt),
    RunnerEntry("onnxruntime", "cpu", lambda: None, _open_onnxruntime),
)


def devices() -> tuple[str, ...]:
    """What may be asked for."""
    return ("auto", *(entry.device for entry in RUNNERS))


def open_runner(device: str, request: RunnerRequest) -> Opened:
    """The runner for a device.

    Raises:
        UsageError: `device` is none of `devices()`.
        EnvironmentMismatch: that device cannot be had here, or what its runner needs is not installed.
        BundleError: the graph cannot be loaded.
    """
    if device not in devices():
        raise UsageError(f"the device is {device!r}, expected one of {', '.join(devices())}")
    passed_over: list[str] = []
    for entry in RUNNERS:
        if device not in ("auto", entry.device):
            continue
        reason = entry.unavailable()
        if reason is None:
            why = "asked for" if device != "auto" else "; ".join((*passed_over, f"auto took {entry.device}"))
            return Opened(entry.open(request), entry.name, why)
        passed_over.append(f"no {entry.name}: {reason}")
    raise EnvironmentMismatch(
        f"device '{device}' is not available: {'; '.join(passed_over)}", hint="use device='auto' or device='cpu'"
    )
