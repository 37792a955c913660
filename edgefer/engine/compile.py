"""Compile an ONNX graph with TensorRT in a child process, because failures inside TensorRT can abort the process.

The child gets a private folder and its own process group. However it ends (report, failure, signal, timeout, interrupt
of the parent), the group is gone and the folder removed when `compile_onnx` returns or raises; nothing that TensorRT
prints reaches the caller's standard output.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import edgefer
from edgefer import errors
from edgefer.engine import protocol
from edgefer.engine.flavours import FlavourName
from edgefer.engine.protocol import Failure, WorkerRequest
from edgefer.engine.report import EngineReport
from edgefer.errors import CompileError, EdgeferError, EnvironmentMismatch, UsageError
from edgefer.progress import Advance, Reporter, Silent

WORKER: tuple[str, ...] = (sys.executable, "-m", "edgefer.engine.worker")
DEFAULT_WORKSPACE_BYTES = 1 << 30
_TAIL_BYTES = 16_384
_POLL_SECONDS = 0.2
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
        plugins: `domain::name` of the operators that registered plugins implement; all others are inlined.
    """

    flavour: FlavourName
    batches: tuple[int, ...] = (1,)
    workspace_bytes: int = DEFAULT_WORKSPACE_BYTES
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1 or len(set(self.batches)) != len(self.batches):
            raise UsageError(f"batches {list(self.batches)} are not distinct positive numbers", hint="for example 1 4")
        if self.workspace_bytes < 1:
            raise UsageError(f"a workspace of {self.workspace_bytes} bytes is too small", hint="1073741824 is usual")


@dataclass(frozen=True)
class CompiledEngine:
    """A plan, the record of how it came about, and the ONNX that TensorRT's parser was given."""

    plan: bytes
    report: EngineReport
    onnx: bytes


def compile_onnx(
    onnx: bytes,
    request: CompileRequest,
    *,
    timeout: float | None = None,
    reporter: Reporter | None = None,
    command: Sequence[str] = WORKER,
) -> CompiledEngine:
    """Compile `onnx` (portable: functions of domain `edgefer` are dealt with here) into a TensorRT plan.

    `timeout` is in seconds, None for none. `reporter` hears one unit a second. `command` is the child's command line
    before the folder.

    Raises:
        CompileError: TensorRT refused the graph, the child died or ran out of time; `details` has the log's tail.
        EnvironmentMismatch: TensorRT or `onnx` is missing in the child, or there is no room for its files.
        BundleError: the bytes are not an ONNX model.
    """
    started = time.perf_counter()
    with _private_folder() as name:
        folder = Path(name)
        _ask(folder, onnx, request)
        code = _run([*command, str(folder)], folder, timeout, reporter or Silent(), request.flavour)
        engine = _answer(folder, code)
    seconds = {**engine.report.seconds, "total": time.perf_counter() - started}
    report = msgspec.structs.replace(engine.report, seconds=seconds)
    return CompiledEngine(plan=engine.plan, report=report, onnx=engine.onnx)


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="edgefer-compile-")
    except OSError as error:
        raise _no_room(error) from error


def _ask(folder: Path, onnx: bytes, request: CompileRequest) -> None:
    asked = WorkerRequest(
        flavour=request.flavour,
        batches=request.batches,
        workspace_bytes=request.workspace_bytes,
        plugins=request.plugins,
        parent=os.getpid(),
    )
    try:
        (folder / protocol.GRAPH).write_bytes(onnx)
        (folder / protocol.REQUEST).write_bytes(msgspec.json.encode(asked))
    except OSError as error:
        raise _no_room(error) from error


def _run(command: list[str], folder: Path, timeout: float | None, reporter: Reporter, flavour: str) -> int:
    """Run the child to its end and return its exit status; it does not outlive this call."""
    with (folder / protocol.LOG).open("wb") as log, reporter.task(f"compile with {flavour}") as advance:
        child = subprocess.Popen(
            command,
            cwd=folder,  # not the caller's: `-m` puts it on the module path, where any file could shadow a package
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return _wait(child, timeout, advance)
        except subprocess.TimeoutExpired as error:
            _kill(child)
            raise CompileError(
                f"compiling took longer than {timeout:g} s and was stopped",
                hint="give it more time, or a smaller workspace on a board that is swapping",
                details=_tail(folder),
            ) from error
        except BaseException:
            _kill(child)
            raise


def _wait(child: subprocess.Popen[bytes], timeout: float | None, advance: Advance) -> int:
    started, told = time.monotonic(), 0
    while True:
        elapsed = time.monotonic() - started
        if timeout is not None and elapsed >= timeout:
            raise subprocess.TimeoutExpired(child.args, timeout)
        if int(elapsed) > told:
            advance(int(elapsed) - told)
            told = int(elapsed)
        step = _POLL_SECONDS if timeout is None else min(_POLL_SECONDS, timeout - elapsed)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(step)


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The child leads its own group and is not reaped yet, so the number cannot belong to anyone else.
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _answer(folder: Path, code: int) -> CompiledEngine:
    """What the child left behind, or the error that says why it left nothing."""
    failure, report = folder / protocol.FAILURE, folder / protocol.REPORT
    if code == 0 and report.exists():
        return _engine(folder, report)
    if code > 0 and failure.exists():
        told = msgspec.json.decode(failure.read_bytes(), type=Failure)
        kind = _KINDS.get(told.kind, CompileError)
        raise kind(told.message, hint=told.hint, details=told.details)
    if code < 0:
        raise _died(-code, _tail(folder))
    raise CompileError(
        f"the process that compiles ended with status {code} and no result",
        hint="the log below is all that it said",
        details=_tail(folder),
    )


def _engine(folder: Path, report: Path) -> CompiledEngine:
    record = msgspec.json.decode(report.read_bytes(), type=EngineReport)
    plan = (folder / protocol.PLAN).read_bytes()
    if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        raise CompileError("the plan that came back is not the one reported", hint="try again; check the disk")
    return CompiledEngine(plan=plan, report=record, onnx=(folder / protocol.PARSED).read_bytes())


def _died(number: int, tail: str) -> CompileError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = "TensorRT failed inside; edgefer doctor says whether this release is known for it"
    if number == signal.SIGKILL:
        hint = "most often the system ran out of memory: free some, or ask for a smaller workspace"
    return CompileError(f"the process that compiles was killed by {name}", hint=hint, details=tail)


def _tail(folder: Path) -> str:
    with (folder / protocol.LOG).open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _TAIL_BYTES))
        return log.read().decode(errors="replace")


def _environment() -> dict[str, str]:
    """This process's environment with edgefer itself importable, wherever the child's working folder is."""
    own = str(Path(edgefer.__file__).parent.parent)
    given = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([own, *given])}


def _no_room(error: OSError) -> EnvironmentMismatch:
    return EnvironmentMismatch(
        f"cannot write the files for compiling to {tempfile.gettempdir()}: {error}",
        hint="free some space there, or point TMPDIR at a folder with room for twice the model",
    )
