"""NVIDIA's own tool on the deployed graph, as a child process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgefer.benchmark.result import Settings
from edgefer.benchmark.rivals.rival import Absent, Sampled, Task
from edgefer.benchmark.rivals.trtexec_output import Ran, settings_of, tail, times_of
from edgefer.engine.portable import for_parser
from edgefer.errors import EdgeferError

PLACES = (Path("/usr/src/tensorrt/bin/trtexec"), Path("/opt/tensorrt/bin/trtexec"))
"""Where JetPack and NVIDIA's containers have it, which is not on the search path."""

_MOST_SECONDS = 900.0
_WARM_UP_MILLISECONDS = 500


class TrtexecRival:
    """`trtexec` with copies to and from the GPU, a CUDA graph and spinning: what a program that has its images on the
    host pays. It times itself, over blocks that alternate with ours."""

    name = "trtexec"

    def __init__(self, binary: Path | None = None) -> None:
        self._binary = binary

    def prepare(self, task: Task) -> Sampled | Absent:
        binary = self._binary or _found()
        if binary is None:
            return Absent(f"no trtexec on the search path, nor {' nor '.join(map(str, PLACES))}")
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="edgefer-trtexec-", ignore_cleanup_errors=True))
            )
            try:
                (folder / "graph.onnx").write_bytes(for_parser(task.onnx))
                flags = flags_for(_said(binary, ["--help"]))
                build = [f"--onnx={folder}/graph.onnx", f"--saveEngine={folder}/engine.plan", "--skipInference"]
                _said(binary, [*build, *flags.build, *_shapes(task, "min", "opt", "max")])
                ran = settings_of(_said(binary, _measuring(folder, task, flags, 1.0)))
            except EdgeferError as error:
                return Absent(str(error))

            def sample(seconds: float) -> Sequence[float]:
                _said(binary, _measuring(folder, task, flags, seconds))
                return times_of((folder / "times.json").read_text())

            return Sampled(sample, _settings(self.name, task, ran), stack.pop_all().close)


@dataclass(frozen=True)
class Flags:
    """What sets a build and a run to the same state with every version, and is stated whatever its defaults are."""

    build: tuple[str, ...]
    run: tuple[str, ...]


def flags_for(helped: str) -> Flags:
    """The flags of the version that gives this help.

    Before TensorRT 11 a graph and spinning are asked for and copies are the default; since then it is the other way
    round, and the old flags are accepted and do nothing.
    """
    # FP32 in FP32, as edgefer has it built.
    exact = ("--noTF32",) if "--noTF32" in helped else ()
    if "--includeDataTransfers" in helped:
        return Flags(build=exact, run=("--includeDataTransfers",))
    return Flags(build=("--stronglyTyped", *exact), run=("--useCudaGraph", "--useSpinWait"))


def _measuring(folder: Path, task: Task, flags: Flags, seconds: float) -> list[str]:
    return [
        f"--loadEngine={folder}/engine.plan",
        f"--exportTimes={folder}/times.json",
        f"--warmUp={_WARM_UP_MILLISECONDS}",
        f"--duration={max(1, round(seconds))}",
        "--infStreams=1",
        *flags.run,
        *_shapes(task, ""),
    ]


def _shapes(task: Task, *bounds: str) -> list[str]:
    """Shapes are only given for a graph whose batch is free: the tool refuses them otherwise."""
    if len(task.graph.batches) == 1:
        return []
    text = ",".join(f"{name}:{'x'.join(map(str, value.shape))}" for name, value in task.feeds.items())
    return [f"--{bound}Shapes={text}" if bound else f"--shapes={text}" for bound in bounds]


def _settings(name: str, task: Task, ran: Ran) -> Settings:
    return Settings(
        runner=name,
        device="gpu",
        measured="runner",
        precision=str(task.bundle.manifest.precision),
        threads=None,
        batch=next(iter(task.feeds.values())).shape[0],
        streams=ran.streams,
        copies=ran.copies,
        graph=ran.graph,
        wait=ran.wait,
        versions={"tensorrt": ran.version} if ran.version else {},
        note="as it prints its settings; it times itself, from the copy to the device to the copy back",
    )


def _found() -> Path | None:
    on_path = shutil.which("trtexec")
    places = ([Path(on_path)] if on_path else []) + list(PLACES)
    return next((each for each in places if each.is_file() and os.access(each, os.X_OK)), None)


def _said(binary: Path, arguments: Sequence[str], seconds: float = _MOST_SECONDS) -> str:
    """What it prints on both streams.

    Raises:
        EdgeferError: it cannot be started, fails, or takes too long.
    """
    try:
        # Its own group, so that nothing of it is left when it is given up.
        child = subprocess.Popen(
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise EdgeferError(f"{binary} cannot be started: {error}") from error
    try:
        printed, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise EdgeferError(f"trtexec took longer than {seconds:g} s and was stopped") from error
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    if child.returncode:
        raise EdgeferError(
            f"trtexec ended with status {child.returncode}", details=tail(printed), hint="its last lines are above"
        )
    return printed
