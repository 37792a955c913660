"""The child process that compiles one graph: `python -m edgefer.engine.worker FOLDER`.

The folder is private to the request; `edgefer.engine.protocol` says which files it holds.
"""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import os
import platform
import signal
import sys
from importlib import metadata
from pathlib import Path

import msgspec

from edgefer import atomic
from edgefer.engine.attention_check import check_attention
from edgefer.engine.builder import Attachment, BuildLog, build
from edgefer.engine.decision import PluginDecision
from edgefer.engine.driver import Gpu, cuda_driver
from edgefer.engine.flavours import Flavour, load
from edgefer.engine.layers import count, parse_layers
from edgefer.engine.plugin_nodes import DOMAIN
from edgefer.engine.portable import Prepared, holds_operators, prepare
from edgefer.engine.progress import BuildProgress
from edgefer.engine.protocol import (
    FAILURE,
    GRAPH,
    PARSED,
    PLAN,
    PROGRESS,
    REPORT,
    REQUEST,
    TIMING,
    TIMING_STAGE,
    Failure,
    WorkerRequest,
)
from edgefer.engine.register import with_plugins
from edgefer.engine.report import EngineReport
from edgefer.engine.this_platform import this_platform
from edgefer.engine.timing_cache import timing_of
from edgefer.engine.workspace import bounded
from edgefer.errors import CompileError, EdgeferError
from edgefer.stopwatch import timed

_MAX_UNPARSED = 20
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Compile what the folder asks for; 0 when a report was written, 1 when a failure was."""
    faulthandler.enable()
    folder = Path(arguments[0])
    try:
        request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=WorkerRequest)
        die_with_parent(request.parent)
        report = _compile(folder, request)
    except EdgeferError as error:
        failure = Failure(kind=type(error).__name__, message=error.message, hint=error.hint, details=error.details)
        atomic.write_bytes(folder / FAILURE, msgspec.json.encode(failure))
        return 1
    except OSError as error:
        failure = Failure(
            kind="EnvironmentMismatch",
            message=f"the process that compiles could not use its files: {error}",
            hint="free some space in the temporary folder, or point TMPDIR elsewhere",
        )
        atomic.write_bytes(folder / FAILURE, msgspec.json.encode(failure))
        return 1
    atomic.write_bytes(folder / REPORT, msgspec.json.encode(report))
    return 0


def _compile(folder: Path, request: WorkerRequest) -> EngineReport:
    seconds: dict[str, float] = {}
    graph = (folder / GRAPH).read_bytes()
    flavour, prepared = _prepared(request, graph, seconds)
    onnx = prepared.onnx
    (folder / PARSED).write_bytes(onnx)  # not flushed to disk: it is read once, and by its digest
    log = BuildLog()
    gpu = _gpu(flavour)
    workspace = bounded(request.workspace_bytes, gpu)
    timing = timing_of(flavour, gpu, request.timing, folder / TIMING_STAGE)
    attachments: list[Attachment] = [BuildProgress(folder / PROGRESS)]
    if timing is not None:
        attachments.append(timing)
    built = build(flavour, onnx, request.batches, workspace.given_bytes, log, attachments)
    (folder / PLAN).write_bytes(built.plan)
    if timing is not None:
        try:
            (folder / TIMING).write_bytes(timing.packed())
        except OSError:  # they are for the speed of later builds alone, and this one is done
            (folder / TIMING).unlink(missing_ok=True)
    layers, unparsed = parse_layers(log.layers)
    warnings = [*log.warnings, *([workspace.warning] if workspace.warning else [])]
    if not layers:
        warnings.append("the build log describes no layers: which precision they run in is not known")
    attention = check_attention(onnx, layers)
    warnings += attention.warnings()
    return EngineReport(
        flavour=flavour.name,
        version=flavour.version,
        note=flavour.note,
        targets=_targets(flavour, gpu),
        platform=this_platform(),
        batches=request.batches,
        dynamic=built.dynamic,
        workspace_bytes=request.workspace_bytes,
        plugins=tuple(f"{DOMAIN}::{name}" for name in sorted(prepared.operators)),
        parsed_sha256=hashlib.sha256(onnx).hexdigest(),
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        seconds={**seconds, **built.seconds},
        inputs=built.inputs,
        outputs=built.outputs,
        layers=layers,
        counts=count(layers, len(unparsed)),
        unparsed=unparsed[:_MAX_UNPARSED],
        warnings=tuple(warnings),
        tools={"onnx": metadata.version("onnx"), "python": platform.python_version()},
        log_tail=log.text(),
        decision=_decision(request, prepared),
        fused_attention=attention,
        workspace=workspace,
        timing_cache=None if timing is None else timing.report(),
    )


def _prepared(request: WorkerRequest, graph: bytes, seconds: dict[str, float]) -> tuple[Flavour, Prepared]:
    if request.way == "plugin" and holds_operators(graph):
        with timed(seconds, "import"):
            flavour = load(request.flavour)
        with timed(seconds, "portable"):
            return flavour, with_plugins(flavour, graph)
    # What is no graph is refused before TensorRT is loaded for it.
    with timed(seconds, "portable"):
        prepared = prepare(graph)
    with timed(seconds, "import"):
        return load(request.flavour), prepared


def _decision(request: WorkerRequest, prepared: Prepared) -> PluginDecision:
    """As far as it is known here: what was asked for is what is done, and why it was asked is the parent's to say."""
    if request.way == "inline":
        return PluginDecision(asked="inline", taken="inline", reason="every operator is written out in standard ones")
    reason = "every node that there are kernels for is a plugin"
    if not prepared.operators:
        reason = "no kernel fits any of its nodes" if prepared.written_out else "the graph has nothing for a plugin"
    return PluginDecision(
        asked="plugin",
        taken="plugin" if prepared.operators else "inline",
        reason=reason,
        operators=prepared.operators,
        written_out=prepared.written_out,
        absorbed=prepared.absorbed,
    )


def _gpu(flavour: Flavour) -> Gpu | None:
    """The GPU that is built on; None where none takes part."""
    return None if flavour.builds_without_gpu else next(iter(cuda_driver().gpus), None)


def _targets(flavour: Flavour, gpu: Gpu | None) -> tuple[str, ...]:
    if flavour.builds_without_gpu:
        return (f"default of {flavour.name}",)
    return () if gpu is None else (gpu.compute_capability,)


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when the parent dies, so that no build goes on for nobody."""
    if sys.platform != "linux" or not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise CompileError("the process that asked for this engine has gone", hint="start it again")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
