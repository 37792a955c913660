"""The parts about sessions, each in child processes, which this file also is: a fault of a kernel loses the context of
its process, and memory is looked at where nothing else was done.

    python -m benchmarks.gpu_check.sessions FOLDER runtime|soak hand 1000000
    python -m benchmarks.gpu_check.sessions FOLDER session|soak tensorrt 1000000
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.gpu_check import hand_session, trt_session
from benchmarks.gpu_check.correctness import part_of
from benchmarks.gpu_check.hand_built import HandBuilt
from benchmarks.gpu_check.result import Check, Part, SessionFigures, SoakFigures
from benchmarks.gpu_check.session_checks import PLAIN, made, session_checks
from benchmarks.gpu_check.session_figures import session_figures
from benchmarks.gpu_check.soak import soak
from benchmarks.gpu_check.subject import Subject
from edgefer.atomic import write_bytes
from edgefer.bundle.container import Bundle
from edgefer.engine import child
from edgefer.engine.flavours import FLAVOURS, load
from edgefer.errors import DeviceError, EdgeferError, EnvironmentMismatch, PluginMissing
from edgefer.progress import Silent

HAND = "hand"
CHILD = (sys.executable, "-m", "benchmarks.gpu_check.sessions")
TIMEOUT_SECONDS = 7200.0
SMALL = HandBuilt(side=64, gates=4, batches=(1,))
"""What is asked a million times."""
_ANSWER = "answer.json"
_TAIL = 2000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a child found."""

    checks: tuple[Check, ...]
    sessions: tuple[SessionFigures, ...] = ()
    soaks: tuple[SoakFigures, ...] = ()


def runtime_part(inferences: int, command: Sequence[str] = CHILD) -> Part:
    """A session over the hand-built network: all that edgefer's runtime does itself, without TensorRT."""
    return _part([_asked(command, "runtime", HAND, inferences)])


def session_part(inferences: int, command: Sequence[str] = CHILD) -> Part:
    """A session over an engine of each TensorRT that is there."""
    return _part([_asked(command, "session", flavour, inferences) for flavour in FLAVOURS])


def soak_part(inferences: int, command: Sequence[str] = CHILD) -> Part:
    """So many inferences of a small network: built by hand, and by each TensorRT that is there."""
    return _part([_asked(command, "soak", engine, inferences) for engine in (HAND, *FLAVOURS)])


def _part(answers: Sequence[Answer]) -> Part:
    part = part_of([check for answer in answers for check in answer.checks])
    return msgspec.structs.replace(
        part,
        sessions=tuple(each for answer in answers for each in answer.sessions),
        soaks=tuple(each for answer in answers for each in answer.soaks),
    )


def _asked(command: Sequence[str], what: str, engine: str, inferences: int) -> Answer:
    with child.private_folder("edgefer-sessions-") as name:
        folder = Path(name)
        asked = [*command, name, what, engine, str(inferences)]
        fault = ""
        try:
            code = child.run(asked, folder, task=engine, timeout=TIMEOUT_SECONDS, reporter=Silent())
        except subprocess.TimeoutExpired:
            fault = f"no end within {TIMEOUT_SECONDS:g} s"
        else:
            if code or not (folder / _ANSWER).exists():
                fault = f"it ended with status {code}: {child.tail(folder).strip()[-_TAIL:]}"
        return _kept(folder, engine, fault)


def _kept(folder: Path, engine: str, fault: str) -> Answer:
    """What the child found before it ended, and how it ended where that is a fault."""
    path = folder / _ANSWER
    answer = msgspec.json.decode(path.read_bytes(), type=Answer) if path.exists() else Answer(checks=())
    wrong = _only(engine, "failed", fault).checks if fault else ()
    return msgspec.structs.replace(answer, checks=(*answer.checks, *wrong))


def _keep(folder: Path, checks: Sequence[Check]) -> None:
    write_bytes(folder / _ANSWER, msgspec.json.encode(Answer(checks=tuple(checks))))


def answer_of(folder: Path, what: str, engine: str, inferences: int) -> Answer:
    """What a child is asked. What this machine lacks makes it absent; an error of the GPU is a failure."""
    try:
        return _WHAT[what](folder, engine, inferences)
    except (DeviceError, PluginMissing) as error:  # there is a GPU, and it has kernels: the check was begun with both
        return _only(engine, "failed", str(error))
    except EnvironmentMismatch as error:
        return _only(engine, "absent", str(error))
    except EdgeferError as error:
        return _only(engine, "failed", str(error))


def _runtime(folder: Path, engine: str, inferences: int) -> Answer:
    subject = hand_session.hand_subject()
    return _measured(subject, session_checks(subject, keep=partial(_keep, folder)), {})


def _session(folder: Path, engine: str, inferences: int) -> Answer:
    subject = _on_tensorrt(folder, engine, trt_session.full_width)
    opened, loading = trt_session.cold_and_warm(subject)
    if any(check.state == "failed" for check in opened):
        return Answer(checks=tuple(opened))
    checks = session_checks(subject, keep=lambda found: _keep(folder, [*opened, *found]))
    return _measured(subject, [*opened, *checks], loading)


def _measured(subject: Subject, checks: Sequence[Check], loading: Mapping[str, Mapping[str, float]]) -> Answer:
    """The checks with what an inference costs, which may fail without losing them. Where no session answers, it is not
    asked."""
    if checks[-1].name.endswith(PLAIN):
        return Answer(checks=tuple(checks))
    found: list[SessionFigures] = []

    def measure() -> str:
        found.append(session_figures(subject, loading=loading))
        return f"{found[0].gpu.count} rounds"

    return Answer(checks=(*checks, made(f"{subject.engine}: what an inference costs", measure)), sessions=tuple(found))


def _soak(folder: Path, engine: str, inferences: int) -> Answer:
    subject = hand_session.hand_subject(SMALL) if engine == HAND else _on_tensorrt(folder, engine, trt_session.small)
    checks, figures = soak(subject, inferences)
    return Answer(checks=tuple(checks), soaks=(figures,))


def _on_tensorrt(folder: Path, engine: str, bundle: Callable[[], Bundle]) -> Subject:
    flavour = FLAVOURS[FLAVOURS.index(engine)]
    load(flavour)
    return trt_session.trt_subject(flavour, bundle(), folder)


_WHAT: dict[str, Callable[[Path, str, int], Answer]] = {"runtime": _runtime, "session": _session, "soak": _soak}


def _only(engine: str, state: str, found: str) -> Answer:
    return Answer(checks=(Check(name=engine, state=state, found=found),))  # type: ignore[arg-type]


def main(arguments: Sequence[str]) -> int:
    folder, what, engine, inferences = Path(arguments[0]), arguments[1], arguments[2], int(arguments[3])
    write_bytes(folder / _ANSWER, msgspec.json.encode(answer_of(folder, what, engine, inferences)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
