"""A child process with a folder of its own, because failures inside TensorRT can abort the process that they happen in.

The child leads its own process group. However it ends (answer, failure, signal, timeout, interrupt of the parent), the
group is gone when `run` returns or raises; nothing that it prints reaches the caller's standard output.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import edgefer
from edgefer.engine import protocol
from edgefer.engine.progress import Watch
from edgefer.errors import CompileError, EnvironmentMismatch
from edgefer.progress import Reporter

_TAIL_BYTES = 16_384
_POLL_SECONDS = 0.2


def private_folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of one request, removed with its context.

    Raises:
        EnvironmentMismatch: there is no room for one.
    """
    try:
        return tempfile.TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise no_room(error) from error


def run(command: Sequence[str], folder: Path, *, task: str, timeout: float | None = None, reporter: Reporter) -> int:
    """Run the child to its end and return its exit status; it does not outlive this call.

    Its output goes to `protocol.LOG` in `folder`. `reporter` hears one unit of `task` a second, or how far the child
    is where it writes that to `protocol.PROGRESS`.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds and was stopped.
        EnvironmentMismatch: it cannot be started.
    """
    watch = Watch(reporter, task, folder / protocol.PROGRESS)
    with (folder / protocol.LOG).open("wb") as log, watch.opened():
        child = _started(command, folder, log)
        try:
            return _wait(child, timeout, watch)
        except BaseException:
            _kill(child)
            raise


def died(number: int, what: str, log_tail: str) -> CompileError:
    """The error for a child that a signal ended."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = "TensorRT failed inside; edgefer doctor says whether this release is known for it"
    if number == signal.SIGKILL:
        hint = "most often the system ran out of memory: free some, or ask for a smaller workspace"
    return CompileError(f"the process that {what} was killed by {name}", hint=hint, details=log_tail)


def tail(folder: Path) -> str:
    """The end of what the child printed."""
    with (folder / protocol.LOG).open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _TAIL_BYTES))
        return log.read().decode(errors="replace")


def no_room(error: OSError) -> EnvironmentMismatch:
    """The error for files that cannot be written to the temporary folder."""
    return EnvironmentMismatch(
        f"cannot write the files for compiling to {tempfile.gettempdir()}: {error}",
        hint="free some space there, or point TMPDIR at a folder with room for twice the model",
    )


def _started(command: Sequence[str], folder: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,  # not the caller's: `-m` puts it on the module path, where any file could shadow a package
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentMismatch(
            f"the process {command[0]!r} cannot be started: {error}",
            hint="free some memory; an application that embeds Python has to point sys.executable at an interpreter",
        ) from error


def _wait(child: subprocess.Popen[bytes], timeout: float | None, watch: Watch) -> int:
    started = time.monotonic()
    while True:
        elapsed = time.monotonic() - started
        if timeout is not None and elapsed >= timeout:
            raise subprocess.TimeoutExpired(child.args, timeout)
        watch.tick(elapsed)
        step = _POLL_SECONDS if timeout is None else min(_POLL_SECONDS, timeout - elapsed)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(step)


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The child leads its own group and is not reaped yet, so the number cannot belong to anyone else.
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _environment() -> dict[str, str]:
    """This process's environment with edgefer itself importable, wherever the child's working folder is."""
    own = str(Path(edgefer.__file__).parent.parent)
    given = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([own, *given])}
