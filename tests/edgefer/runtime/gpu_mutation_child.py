"""Holds altered runtimes against the checks: `python gpu_mutation_child.py quick|slow PART PARTS [NAME]`.

Prints one line of JSON for each: what it breaks, and the check that found it (empty where none did). Every one runs in
a fork of this process, which has imported nothing of what is altered. Part 0 begins with the runtime as it is.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "stand_ins"))
sys.path.insert(0, str(Path(__file__).parents[1] / "stand_ins" / "gpu"))

# What takes long to import and is altered by nobody is imported once for all forks.
import simulation  # noqa: F401
from gpu_mutations import QUICK, SLOW, Mutation

import edgefer.bundle.container
import edgefer.engine.bundle_work
import edgefer.kernels.launch  # noqa: F401

SECONDS = 10
"""After which a check hangs."""


class Altered(SourceFileLoader):
    """Loads a module from a text that is not that of its file."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec")


class Finder:
    """Finds the altered module, and no other."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.origin is not None
        loader = Altered(name, spec.origin)
        loader.text = self.text
        return importlib.util.spec_from_file_location(name, spec.origin, loader=loader)


def altered(mutation: Mutation) -> tuple[str, str]:
    """The module's name and text. A text that is not there, or there twice, is an error."""
    package = importlib.util.find_spec("edgefer")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / mutation.file
    text = path.read_text(encoding="utf-8")
    for old, new in mutation.edits:
        if text.count(old) != 1:
            raise SystemExit(f"{mutation.breaks}: {mutation.file} has {text.count(old)} times\n{old}")
        text = text.replace(old, new)
    return "edgefer." + mutation.file.removesuffix(".py").replace("/", "."), text


def checks() -> Iterator[tuple[str, Callable[[], None]]]:
    """All of them, those that find most first."""
    import fault_checks as faults
    import release_checks as release
    import work_checks as work
    from session_checks import Setting

    yield "answers", work.check_answers
    yield "reverse order", release.check_reverse_order
    yield "replay", work.check_replay_is_all_there_is
    yield "frames", work.check_frames
    yield "producers", work.check_producers_are_waited_for
    yield "plain before capture", work.check_plain_before_capture
    yield "lanes", work.check_lanes
    yield "fork", release.check_fork
    yield "bound sets", work.check_bound_sets_come_and_go
    yield "formats", work.check_formats_come_and_go
    yield "forgotten", release.check_forgotten
    yield "refused enqueue", faults.check_refused_enqueue
    yield "refused captures", faults.check_refused_captures
    yield "another context", work.check_another_context_is_left_alone
    yield "answers in shared memory", lambda: work.check_answers(Setting(integrated=True))
    yield "threads", release.check_threads_and_closing
    yield "failing inferences", faults.check_inferences_that_fail
    yield "allocation", work.check_nothing_is_allocated
    yield "failing opening", faults.check_opening_that_fails


def found_by(mutation: Mutation | None, answer: int) -> str:
    """The first check that fails on an altered runtime; on the real one where there is no mutation. What hangs is
    written to the file `answer`, and ends this process: closing a session would hang, too."""
    if mutation is not None:
        name, text = altered(mutation)
        assert name not in sys.modules, name
        sys.meta_path.insert(0, Finder(name, text))  # type: ignore[arg-type]
    current = "importing"

    def hangs(*_: object) -> None:
        os.write(answer, f"{current}: it hangs".encode())
        os._exit(0)

    signal.signal(signal.SIGALRM, hangs)
    try:
        for each, check in checks():
            current = each
            signal.alarm(SECONDS)
            check()
    except Exception as error:
        return f"{current}: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    finally:
        signal.alarm(0)
    return ""


def in_a_fork(mutation: Mutation | None) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            os.write(writer, found_by(mutation, writer).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read().decode()
    _, status = os.waitpid(child, 0)
    return said or ("the process died" if status else "")


def main() -> None:
    kind, part, parts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chosen = {"quick": QUICK, "slow": SLOW}[kind][part::parts]
    if len(sys.argv) > 4:
        chosen = tuple(each for each in chosen if sys.argv[4] in each.breaks)
    for each in chosen:
        altered(each)
    for each in (None, *chosen) if part == 0 else chosen:
        line = {"breaks": each.breaks if each else "", "found": in_a_fork(each)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
