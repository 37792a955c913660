"""The child process that asks a parser about one graph: `python -m edgefer.engine.ask_worker FOLDER`."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path
from typing import Any

import msgspec

from edgefer import atomic
from edgefer.engine.ask import ANSWER, AskRequest
from edgefer.engine.builder import BuildLog, start
from edgefer.engine.flavours import Flavour, load
from edgefer.engine.protocol import FAILURE, GRAPH, REQUEST, Failure
from edgefer.engine.support.report import ParserAnswer, Problem
from edgefer.engine.worker import die_with_parent
from edgefer.errors import EdgeferError

_REMEDY = "build it from operators that this release takes, or leave it out of the network"


def main(arguments: list[str]) -> int:
    """Ask what the folder asks; 0 when an answer was written, 1 when a failure was."""
    faulthandler.enable()
    folder = Path(arguments[0])
    try:
        request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=AskRequest)
        die_with_parent(request.parent)
        answer = _ask(load(request.flavour), (folder / GRAPH).read_bytes())
    except EdgeferError as error:
        failure = Failure(kind=type(error).__name__, message=error.message, hint=error.hint, details=error.details)
        atomic.write_bytes(folder / FAILURE, msgspec.json.encode(failure))
        return 1
    atomic.write_bytes(folder / ANSWER, msgspec.json.encode(answer))
    return 0


def _ask(flavour: Flavour, onnx: bytes) -> ParserAnswer:
    log = BuildLog()
    begun = start(flavour, log)
    parser = begun.parser
    accepted = bool(parser.supports_model_v2(onnx))
    source = f"the parser of {flavour.name} {flavour.version}"
    problems = tuple(_problem(parser.get_error(index), source) for index in range(parser.num_errors))
    if not accepted and not problems:
        reason = log.errors[-1] if log.errors else "it gave no reason"
        problems = (Problem(severity="refused", reason=reason, source=source, remedy=_REMEDY),)
    return ParserAnswer(flavour=flavour.name, version=flavour.version, accepted=accepted, problems=problems)


def _problem(error: Any, source: str) -> Problem:
    return Problem(
        severity="refused",
        reason=str(error.desc()).strip(),
        source=source,
        remedy=_REMEDY,
        node=str(error.node_name()),
        operator=str(error.node_operator()),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
