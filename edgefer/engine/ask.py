"""What a TensorRT parser on this machine says of a graph, asked in a child process.

Only a TensorRT of the target's own release is asked: what another one takes says nothing about it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from edgefer.engine import child, protocol
from edgefer.engine.driver import cuda_driver
from edgefer.engine.flavours import FlavourName
from edgefer.engine.support.report import ParserAnswer, Problem
from edgefer.progress import Silent

ASK_WORKER: tuple[str, ...] = (sys.executable, "-m", "edgefer.engine.ask_worker")
ANSWER = "answer.json"
TIMEOUT_SECONDS = 300.0

Ask = Callable[[bytes, str], tuple[ParserAnswer | None, str]]
"""From a graph without functions and a target to a parser's answer, or None with the reason why none was asked."""

_RTX = "rtx"
_DISTRIBUTIONS: dict[FlavourName, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt-rtx"),
}


class AskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked; `parent` is the process that it does not outlive."""

    flavour: FlavourName
    parent: int = 0


def ask_parser(
    onnx: bytes, target: str, *, timeout: float = TIMEOUT_SECONDS, command: Sequence[str] = ASK_WORKER
) -> tuple[ParserAnswer | None, str]:
    """Ask the parser of the target's own release, where it is on this machine.

    A parser that dies, or takes longer than `timeout` seconds, has refused the graph.

    Raises:
        EnvironmentMismatch: there is no room for the files of the request.
    """
    flavour, note = _flavour_of(target)
    if flavour is None:
        return None, note
    with child.private_folder("edgefer-check-") as name:
        folder = Path(name)
        try:
            (folder / protocol.GRAPH).write_bytes(onnx)
            request = AskRequest(flavour=flavour, parent=os.getpid())
            (folder / protocol.REQUEST).write_bytes(msgspec.json.encode(request))
        except OSError as error:
            raise child.no_room(error) from error
        return _asked([*command, str(folder)], folder, flavour, timeout)


def _asked(command: list[str], folder: Path, flavour: FlavourName, timeout: float) -> tuple[ParserAnswer | None, str]:
    try:
        code = child.run(command, folder, task=f"ask {flavour}", timeout=timeout, reporter=Silent())
    except subprocess.TimeoutExpired:
        return _failed(flavour, f"the parser gave no answer within {timeout:g} s"), ""
    answer, failure = folder / ANSWER, folder / protocol.FAILURE
    if code == 0 and answer.exists():
        return msgspec.json.decode(answer.read_bytes(), type=ParserAnswer), ""
    if code > 0 and failure.exists():
        told = msgspec.json.decode(failure.read_bytes(), type=protocol.Failure)
        return None, f"its parser was not asked: {told.message}"
    if code < 0:
        return _failed(flavour, child.died(-code, "asks the parser", child.tail(folder)).message), ""
    last = child.tail(folder).strip().splitlines()
    return _failed(flavour, f"the process that asks the parser ended with status {code}: {''.join(last[-1:])}"), ""


def _failed(flavour: FlavourName, reason: str) -> ParserAnswer:
    """A parser that dies of a graph does not take it."""
    version = _installed(flavour)
    source = f"the parser of {flavour} {version}"
    problem = Problem(severity="refused", reason=reason, source=source, remedy="compile a smaller part of the graph")
    return ParserAnswer(flavour=flavour, version=version, accepted=False, problems=(problem,))


def _flavour_of(target: str) -> tuple[FlavourName | None, str]:
    """Which of the installed flavours is of the target's release; None with the reason where none is."""
    if target == _RTX:
        version = _installed("tensorrt_rtx")
        return ("tensorrt_rtx", "") if version else (None, "its parser was not asked: TensorRT-RTX is not installed")
    wanted = target.removeprefix("tensorrt-")
    version = _installed("tensorrt")
    if not version:
        return None, "its parser was not asked: TensorRT is not installed"
    if not f"{version}.".startswith(f"{wanted}."):
        return None, f"its parser was not asked: the TensorRT here is {version}"
    if not cuda_driver().gpus:
        return None, "its parser was not asked: it needs a GPU"
    return "tensorrt", ""


def _installed(flavour: FlavourName) -> str:
    """The version of an installed flavour as its distribution says, without importing it; empty where there is none."""
    for name in _DISTRIBUTIONS[flavour]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return ""
