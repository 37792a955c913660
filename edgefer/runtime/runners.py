"""What executes a graph: a table of runners, of which a session takes the first that fits the device asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import BundleError, EnvironmentMismatch, UsageError
from edgefer.runtime import openvino_library
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer.runtime.openvino_check import check_answers
from edgefer.runtime.openvino_runner import OpenVinoRunner

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
    What the opening does beside loading the graph goes into `seconds`, by stage ("form": deriving the CPU's own form);
    what the runner was set to beyond the request goes into `settings`. `cpu_form` is read by onnxruntime alone: which
    form of the graph to run, see `edgefer.runtime.cpu_form`. `gpu` is read by TensorRT alone;
    None for the usual settings.
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


@dataclass(frozen=True)
class RunnerEntry:
    """One kind of runner: the device it serves, why it cannot be had here (None: it can), how it is opened, and why it
    cannot do what a request asks for (None: it can)."""

    name: str
    device: str
    unavailable: Callable[[], str | None]
    open: Callable[[RunnerRequest], Runner]
    unfit: Callable[[RunnerRequest], str | None] = lambda request: None


@dataclass(frozen=True)
class Opened:
    """A runner with its name and the reason for its choice."""

    runner: Runner
    name: str
    why: str


def _tensorrt_unavailable() -> str | None:
    return (
        "sessions of this version of edgefer run on the CPU only; it compiles engines, and a later version will run "
        "them"
    )


def _open_tensorrt(request: RunnerRequest) -> Runner:
    raise EnvironmentMismatch(f"device 'tensorrt' is not available: {_tensorrt_unavailable()}")


def _open_onnxruntime(request: RunnerRequest) -> Runner:
    from edgefer.runtime.cpu_form.choose import Wish, choose

    started = time.perf_counter()
    # Evaluated literally, it is the deployed graph that is asked about.
    asked: Asked = request.cpu_form if request.optimise else "deployed"
    form = choose(Wish(request.bundle, request.graph, asked, request.threads))
    if form.derived:
        request.seconds["form"] = time.perf_counter() - started
    request.settings.update({"form": form.name, "why this form": form.why})
    return OnnxRuntimeRunner(
        form.onnx,
        threads=request.threads,
        optimise=request.optimise,
        disabled=form.left_out if request.bundle.manifest.precision != "fp32" else (),
        profile=request.profile,
    )


def _open_openvino(request: RunnerRequest) -> Runner:
    runner = OpenVinoRunner(
        request.bundle.onnx(request.graph), threads=request.threads, profile=request.profile is not None
    )
    unread = sorted({spec.name for spec in request.graph.inputs} - runner.inputs.keys())
    if unread:
        raise BundleError(
            f"OpenVINO does not take the input {', '.join(unread)}: it drops those that the graph does not read",
            hint="use device='onnxruntime'",
        )
    started = time.perf_counter()
    check_answers(request.bundle, request.graph, runner.run)
    request.seconds["self-check"] = time.perf_counter() - started
    request.settings.update(runner.settings)
    return runner


def _openvino_unfit(request: RunnerRequest) -> str | None:
    if request.cpu_form == "reduced":
        return "it reduces no weights"
    return None if request.optimise else "it cannot evaluate a graph literally, node by node"


# In the order in which "auto" tries them, and "cpu" those that serve it.
RUNNERS: tuple[RunnerEntry, ...] = (
    RunnerEntry("tensorrt", "tensorrt", _tensorrt_unavailable, _open_tensorrt),
    RunnerEntry("openvino", "cpu", openvino_library.unavailable, _open_openvino, _openvino_unfit),
    RunnerEntry("onnxruntime", "cpu", lambda: None, _open_onnxruntime),
)


def devices() -> tuple[str, ...]:
    """What may be asked for: a device, or a runner by its name."""
    return tuple(dict.fromkeys(("auto", *(entry.device for entry in RUNNERS), *(entry.name for entry in RUNNERS))))


def open_runner(device: str, request: RunnerRequest) -> Opened:
    """The runner for a device, or the one of that name.

    Where several serve the device, one that cannot be had here, cannot do what is asked or refuses the graph is passed
    over; the reason is kept.

    Raises:
        UsageError: `device` is none of `devices()`, or the runner of that name cannot do what is asked.
        EnvironmentMismatch: that device cannot be had here, or what its runner needs is not installed.
        BundleError: the graph cannot be loaded.
    """
    if device not in devices():
        raise UsageError(f"the device is {device!r}, expected one of {', '.join(devices())}")
    candidates = [entry for entry in RUNNERS if device in ("auto", entry.device, entry.name)]
    passed_over: list[str] = []
    for entry in candidates:
        reason = entry.unavailable()
        if reason is None and (reason := entry.unfit(request)) is not None and device == entry.name:
            raise UsageError(f"{entry.name} cannot run this: {reason}", hint="use device='auto' or device='cpu'")
        if reason is None:
            try:
                runner = entry.open(request)
            except (BundleError, EnvironmentMismatch) as error:
                if entry is candidates[-1]:
                    raise
                reason = error.message
            else:
                took = f"auto took {entry.device}" if device == "auto" else "asked for"
                return Opened(runner, entry.name, "; ".join((*passed_over, took)))
        passed_over.append(f"no {entry.name}: {reason}")
    raise EnvironmentMismatch(
        f"device '{device}' is not available: {'; '.join(passed_over)}", hint="use device='auto' or device='cpu'"
    )
