"""Compile an ONNX graph with TensorRT in a child process, because failures inside TensorRT can abort the process.

The child gets a private folder and its own process group. However it ends (report, failure, signal, timeout, interrupt
of the parent), the group is gone and the folder removed when `compile_onnx` returns or raises; nothing that TensorRT
prints reaches the caller's standard output.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgefer import errors
from edgefer.engine import child, protocol
from edgefer.engine.decision import Way
from edgefer.engine.flavours import FlavourName
from edgefer.engine.protocol import Failure, WorkerRequest
from edgefer.engine.report import EngineReport
from edgefer.engine.timing_store import remove_cache
from edgefer.errors import CompileError, EdgeferError, UsageError
from edgefer.progress import Reporter, Silent
from edgefer.size import MOST_MEMORY

WORKER: tuple[str, ...] = (sys.executable, "-m", "edgefer.engine.worker")
DEFAULT_WORKSPACE_BYTES = 1 << 30
# How TensorRT's bindings print an exception of a plugin in Python; their own loggers hear nothing of it. Those of a
# logger and of a progress monitor are printed alike, and no engine gets worse from them.
_OTHERS = rb"(?!(?:log|phase_start|step_complete|phase_finish)\()"
_PLUGIN_FAILED = re.compile(rb"^\[ERROR\] Exception caught in " + _OTHERS + rb"(.*)$", re.MULTILINE)
_KINDS: dict[str, type[EdgeferError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgeferError)
}


@dataclass(frozen=True)
class CompileRequest:
    """What to compile for.

    Args:
        flavour: `tensorrt` or `tensorrt_rtx`.
        batches: one optimisation profile each, where the graph's batch is dynamic; else the graph's own batch.
        workspace_bytes: upper limit of the builder's scratch memory; small boards share it with the system.
        way: `plugin` registers edgefer's plugins and leaves them every node that they have kernels for; `inline` writes
            all operators out in standard ones.
    """

    flavour: FlavourName
    batches: tuple[int, ...] = (1,)
    workspace_bytes: int = DEFAULT_WORKSPACE_BYTES
    way: Way = "inline"

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1 or len(set(self.batches)) != len(self.batches):
            raise UsageError(f"batches {list(self.batches)} are not distinct positive numbers", hint="for example 1 4")
        if not 1 <= self.workspace_bytes <= MOST_MEMORY:
            raise UsageError(
                f"the workspace is {self.workspace_bytes} bytes, expected 1 to {MOST_MEMORY}",
                hint="1073741824 is usual; None takes that",
            )


@dataclass(frozen=True)
class CompiledEngine:
    """A plan, the record of how it came about, and the ONNX that TensorRT's parser was given.

    `timing` is TensorRT's timing cache after the build, as `edgefer.engine.timing_file` writes it; empty where none was
    kept.
    """

    plan: bytes
    report: EngineReport
    onnx: bytes
    timing: bytes = b""


def compile_onnx(
    onnx: bytes,
    request: CompileRequest,
    *,
    timeout: float | None = None,
    reporter: Reporter | None = None,
    command: Sequence[str] = WORKER,
    timing: Path | None = None,
) -> CompiledEngine:
    """Compile `onnx` (portable: functions of domain `edgefer` are dealt with here) into a TensorRT plan.

    `timeout` is in seconds, None for none. `reporter` hears how far the build is, where TensorRT tells, or else one
    unit a second. `command` is the child's command line before the folder. `timing` is the folder of TensorRT's timing
    caches, which the build begins with and adds to; None builds without.

    Raises:
        CompileError: TensorRT refused the graph, the child died or ran out of time; `details` has the log's tail.
        PluginMissing: plugins were asked for and cannot be registered, or have no kernels for this GPU.
        EnvironmentMismatch: TensorRT or `onnx` is missing in the child, or there is no room for its files.
        BundleError: the bytes are not an ONNX model.
    """
    started = time.perf_counter()
    reporter = reporter or Silent()
    engine = _compiled(onnx, request, timing, timeout, reporter, command)
    if engine is None:  # TensorRT died of its timing cache, which is gone now
        engine = _compiled(onnx, request, None, timeout, reporter, command)
    if engine is None:
        raise RuntimeError("a build without a timing cache cannot die of it")
    seconds = {**engine.report.seconds, "total": time.perf_counter() - started}
    return replace(engine, report=msgspec.structs.replace(engine.report, seconds=seconds))


def _compiled(
    onnx: bytes,
    request: CompileRequest,
    timing: Path | None,
    timeout: float | None,
    reporter: Reporter,
    command: Sequence[str],
) -> CompiledEngine | None:
    """What one child made; None where it died while it was at work on a timing cache, which is removed."""
    with child.private_folder("edgefer-compile-") as name:
        folder = Path(name)
        _ask(folder, onnx, request, timing)
        code = _run([*command, str(folder)], folder, timeout, reporter, request.flavour)
        stage = folder / protocol.TIMING_STAGE
        if code < 0 and timing is not None and stage.exists():
            path = stage.read_text(encoding="utf-8")
            left = remove_cache(Path(path)) if path else ""
            reporter.note(f"TensorRT died of the timing cache {path}: the engine is built again without it{left}")
            return None
        engine = _answer(folder, code)
    for note in engine.report.timing_cache.notes if engine.report.timing_cache is not None else ():
        reporter.note(note)
    return engine


def _ask(folder: Path, onnx: bytes, request: CompileRequest, timing: Path | None) -> None:
    asked = WorkerRequest(
        flavour=request.flavour,
        batches=request.batches,
        workspace_bytes=request.workspace_bytes,
        way=request.way,
        parent=os.getpid(),
        timing=None if timing is None else str(timing.absolute()),
    )
    try:
        (folder / protocol.GRAPH).write_bytes(onnx)
        (folder / protocol.REQUEST).write_bytes(msgspec.json.encode(asked))
    except OSError as error:
        raise child.no_room(error) from error


def _run(command: list[str], folder: Path, timeout: float | None, reporter: Reporter, flavour: str) -> int:
    try:
        return child.run(command, folder, task=f"compile with {flavour}", timeout=timeout, reporter=reporter)
    except subprocess.TimeoutExpired as error:
        raise CompileError(
            f"compiling took longer than {timeout:g} s and was stopped",
            hint="give it more time, or a smaller workspace on a board that is swapping",
            details=child.tail(folder),
        ) from error


def _answer(folder: Path, code: int) -> CompiledEngine:
    """What the child left behind, or the error that says why it left nothing."""
    failure, report = folder / protocol.FAILURE, folder / protocol.REPORT
    plugin = _plugin_failure(folder)
    if code == 0 and plugin:
        # TensorRT takes some failures for an answer, such as one to the question for workspace for none: an engine that
        # writes past its memory would come of it.
        raise CompileError(
            f"a plugin failed while the engine was built: {plugin}",
            hint="compile with --plugins inline, and report this graph",
            details=child.tail(folder),
        )
    if code == 0 and report.exists():
        return _engine(folder, report)
    if code > 0 and failure.exists():
        told = msgspec.json.decode(failure.read_bytes(), type=Failure)
        kind = _KINDS.get(told.kind, CompileError)
        message = f"{told.message} (a plugin failed: {plugin})" if plugin else told.message
        raise kind(message, hint=told.hint, details=told.details)
    if code < 0:
        raise child.died(-code, "compiles", child.tail(folder))
    raise CompileError(
        f"the process that compiles ended with status {code} and no result",
        hint="the log below is all that it said",
        details=child.tail(folder),
    )


def _plugin_failure(folder: Path) -> str:
    """What a plugin raised in the child, as it was printed there; empty where none did."""
    failed = _PLUGIN_FAILED.search((folder / protocol.LOG).read_bytes())
    return "" if failed is None else failed[1].decode(errors="replace").strip()


def _engine(folder: Path, report: Path) -> CompiledEngine:
    record = msgspec.json.decode(report.read_bytes(), type=EngineReport)
    plan = (folder / protocol.PLAN).read_bytes()
    if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        raise CompileError("the plan that came back is not the one reported", hint="try again; check the disk")
    timing = folder / protocol.TIMING
    return CompiledEngine(
        plan=plan,
        report=record,
        onnx=(folder / protocol.PARSED).read_bytes(),
        timing=timing.read_bytes() if timing.exists() else b"",
    )
