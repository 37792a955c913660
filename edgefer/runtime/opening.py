"""From a bundle to a runner that is ready: the graph opened, held against the manifest, and run once."""

from __future__ import annotations

import os
from typing import get_args

import numpy as np

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import BundleError, InputError, UsageError
from edgefer.runtime.cpu_form import Asked
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runner import Runner, RunnerRequest
from edgefer.runtime.runners import Opened, open_runner
from edgefer.stopwatch import timed

MOST_THREADS = 256
"""onnxruntime starts them all at once, and dies where the system refuses one."""


def read(bundle: Bundle | str | os.PathLike[str], seconds: dict[str, float]) -> Bundle:
    """The bundle, read where it is a path; `seconds` gets the stage "read".

    Raises:
        BundleError: the file is not a whole bundle.
    """
    with timed(seconds, "read"):
        return bundle if isinstance(bundle, Bundle) else Bundle.read(bundle)


def check_asked(threads: int | None, cpu_form: Asked, gpu: GpuSettings | None) -> None:
    """What a caller says of the CPU and of a GPU, whichever it will be.

    Raises:
        UsageError: one of them cannot be what it is.
    """
    if cpu_form not in get_args(Asked):
        raise UsageError(f"the form is {cpu_form!r}, expected one of {', '.join(get_args(Asked))}")
    if threads is not None and (not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS):
        raise UsageError(f"the number of threads is {threads!r}, expected 1 to {MOST_THREADS}, or None")
    if gpu is not None and not isinstance(gpu, GpuSettings):
        raise UsageError(f"gpu is a {type(gpu).__name__}, expected GpuSettings", hint="edgefer.GpuSettings(streams=2)")


def opened(device: str, request: RunnerRequest) -> tuple[Opened, tuple[int, ...]]:
    """A runner that has run once, and the batches that it takes, largest first. `request.seconds` gets the stages.

    Raises:
        BundleError: the graph is not what the manifest says.
        EdgeferError: as `open_runner`; or the runner fails.
    """
    before = sum(request.seconds.values())
    with timed(request.seconds, "open"):
        found = open_runner(device, request)
    request.seconds["open"] -= sum(request.seconds.values()) - request.seconds["open"] - before
    try:
        batches = check_graph(request.graph, found.runner)
        if found.device == "cpu" and request.optimise:
            with timed(request.seconds, "warm-up"):
                left_out = warm_up(request.graph, found.runner)
            if left_out:
                request.settings["warm-up"] = f"left out: {left_out}"
    except BaseException:
        found.runner.close()
        raise
    return found, batches


def warm_up(graph: GraphSpec, runner: Runner) -> str:
    """Answer once, in the smallest batch: libraries take their memory and start their threads in the first run, which
    is then not that of a frame. A runner on a GPU does more, and sees to it itself.

    Empty, or why the runner did not answer: a graph may refuse inputs that mean nothing, such as an index out of range.
    """
    batch = min(graph.batches)
    fill = {spec.name: np.ones if spec.role == "present" else np.zeros for spec in graph.inputs}
    try:
        runner.run({spec.name: fill[spec.name]((batch, *spec.shape[1:]), np.float32) for spec in graph.inputs})
    except InputError as error:
        return error.message
    return ""


def check_graph(graph: GraphSpec, runner: Runner) -> tuple[int, ...]:
    """Check that the graph in the file has the inputs and outputs that the manifest says; return the batches it takes,
    largest first. An ONNX of fixed batch takes only that one, whatever engines are made from it.

    Raises:
        BundleError: it has not.
    """
    found, declared = runner.inputs, {spec.name: spec.shape for spec in graph.inputs}
    missing_outputs = sorted({spec.name for spec in graph.outputs} - set(runner.outputs))
    if found.keys() != declared.keys() or missing_outputs:
        raise BundleError(
            f"graph '{graph.role}' is not what the manifest says: it takes {sorted(found)} and gives "
            f"{sorted(runner.outputs)}; declared are {sorted(declared)} and {sorted(s.name for s in graph.outputs)}",
            hint="build the bundle again",
        )
    for name, shape in found.items():
        fits = len(shape) == len(declared[name]) and all(
            axis is None or axis == want for axis, want in zip(shape, declared[name], strict=True)
        )
        if not fits:
            raise BundleError(
                f"input '{name}' of graph '{graph.role}' has the shape {shape}; the manifest says {declared[name]}",
                hint="build the bundle again",
            )
    fixed = any(shape[0] is not None for shape in found.values())
    return (min(graph.batches),) if fixed else tuple(sorted(set(graph.batches), reverse=True))
