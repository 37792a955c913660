"""What executes a graph: a table of runners, of which a session takes the first that fits the device asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgefer.errors import BundleError, EdgeferError, EngineMissing, EnvironmentMismatch, UsageError
from edgefer.runtime import openvino_library
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.fallback import PASSED_OVER, warn_of_unused_gpu
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer.runtime.openvino_check import check_answers
from edgefer.runtime.openvino_runner import OpenVinoRunner
from edgefer.runtime.runner import Runner, RunnerRequest


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
    """A runner with its name, the reason for its choice and the device that it serves."""

    runner: Runner
    name: str
    why: str
    device: str = "cpu"


def _tensorrt_unavailable() -> str | None:
    from edgefer.runtime.gpu.machine import unavailable

    return unavailable()


def _open_tensorrt(request: RunnerRequest) -> Runner:
    from edgefer.runtime.gpu.tensorrt_open import open_tensorrt

    return open_tensorrt(request)


def _tensorrt_unfit(request: RunnerRequest) -> str | None:
    if request.cpu_form == "reduced":
        return "it reduces no weights, and the form was asked for"
    return None if request.optimise else "it cannot evaluate a graph literally, node by node"


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
    RunnerEntry("tensorrt", "tensorrt", _tensorrt_unavailable, _open_tensorrt, _tensorrt_unfit),
    RunnerEntry("openvino", "cpu", openvino_library.unavailable, _open_openvino, _openvino_unfit),
    RunnerEntry("onnxruntime", "cpu", lambda: None, _open_onnxruntime),
)


def devices() -> tuple[str, ...]:
    """What may be asked for: a device, or a runner by its name."""
    return tuple(dict.fromkeys(("auto", *(entry.device for entry in RUNNERS), *(entry.name for entry in RUNNERS))))


def open_runner(device: str, request: RunnerRequest) -> Opened:
    """The runner for a device, or the one of that name.

    Where several serve the device, one that cannot be had here, cannot do what is asked or refuses the graph is passed
    over; the reason is kept. Where a GPU that is there is passed over so, `EdgeferWarning` has it, too, unless the
    request itself was one for the CPU.

    Raises:
        UsageError: `device` is none of `devices()`, or the runner of that name cannot do what is asked.
        EnvironmentMismatch: that device cannot be had here, or what its runner needs is not installed.
        BundleError: the graph cannot be loaded.
        EngineMissing: an engine is required that the cache does not hold, on a machine that could run it.
        CompileError, EngineIncompatible: the graph cannot be compiled for the GPU, or its engine does not answer right.
    """
    if device not in devices():
        raise UsageError(f"the device is {device!r}, expected one of {', '.join(devices())}")
    candidates = [entry for entry in RUNNERS if device in ("auto", entry.device, entry.name)]
    passed_over: list[str] = []
    no_gpu = ""
    for entry in candidates:
        reason = entry.unavailable()
        if reason is None and (unfit := entry.unfit(request)) is not None:
            if device == entry.name:
                raise UsageError(f"{entry.name} cannot run this: {unfit}", hint="use device='auto' or device='cpu'")
            passed_over.append(f"no {entry.name}: {unfit}")
            continue
        if reason is None:
            try:
                with _forgotten_on_failure(entry.name, request):
                    runner = entry.open(request)
            except PASSED_OVER as error:
                if isinstance(error, EngineMissing):  # an engine was required: answering without one is no answer
                    raise
                if entry is candidates[-1]:
                    if not passed_over:
                        raise
                    raise _with_reasons(error, passed_over) from error
                reason = _sentence(error)
            else:
                if no_gpu and entry.device == "cpu":
                    warn_of_unused_gpu(no_gpu)
                took = f"auto took {entry.device}" if device == "auto" else "asked for"
                return Opened(runner, entry.name, "; ".join((*passed_over, took)), entry.device)
        passed_over.append(f"no {entry.name}: {reason}")
        if entry.device != "cpu":
            no_gpu = reason
    raise EnvironmentMismatch(
        f"device '{device}' is not available: {'; '.join(passed_over)}", hint="use device='auto' or device='cpu'"
    )


@contextmanager
def _forgotten_on_failure(name: str, request: RunnerRequest) -> Iterator[None]:
    """What a runner has told of itself is not said of the next one; the time that it took counts."""
    settings, seconds, started = dict(request.settings), dict(request.seconds), time.monotonic()
    try:
        yield
    except BaseException:
        request.settings.clear()
        request.settings.update(settings)
        request.seconds.clear()
        request.seconds.update(seconds)
        request.seconds[f"{name}, passed over"] = time.monotonic() - started
        raise


def _sentence(error: EdgeferError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _with_reasons(error: EdgeferError, passed_over: list[str]) -> EdgeferError:
    """The last runner's error, with why it came to that one."""
    details = "\n".join(part for part in (error.details, *passed_over) if part)
    return type(error)(error.message, hint=error.hint, details=details)
