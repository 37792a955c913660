"""From a new process to the first answer, stage by stage, with an empty cache and with a filled one."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgefer.benchmark.child import TIMEOUT, Answer, ask
from edgefer.benchmark.gpu_argument import to_argument
from edgefer.benchmark.result import ColdStart, Stage
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.cache_folder import VARIABLE
from edgefer.errors import EnvironmentMismatch, UsageError
from edgefer.progress import Reporter, Silent

_MODULE = "edgefer.benchmark.cold_child"
_LIBRARIES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino,onnx",
    "tensorrt": "pycuda.driver,cuda.bindings.driver",
}
"""What each runner imports when it opens a graph; without it the stage of opening would count the import."""

_BUILDING = 1800.0
"""Seconds for a start in which an engine is built."""

_ORDER = ("interpreter", "import", "read", "verify", "compile or cache", "self-check", "first answer", "rest")
_NOTE = (
    "files of the interpreter, its packages and the bundle are in the system's page cache: a first start after "
    "power-on also waits for the disk"
)


def cold_start(bundle: Bundle, spec: BenchmarkSpec, reporter: Reporter | None = None) -> ColdStart:
    """Start `spec.repeats` processes that each open the bundle and answer once, with a private cache; medians.

    Stages: interpreter (until Python runs the first line), import, read, verify (digests and manifest), compile or
    cache (opening the session: an engine or a form of the graph is made or found, and the graph is loaded), self-check
    (the golden inputs are answered as the bundle says), first answer, and the rest between them. What `spec.gpu` says
    of the cache does not count: with the empty one, a session on a GPU builds its engine.

    Raises:
        UsageError: the bundle is in memory only.
        EdgeferError: what a session of `spec` raises; or the process died, and `details` has its last lines.
    """
    if bundle.path is None:
        raise UsageError("a cold start reads the bundle from a file, and it has none", hint="Bundle.write it first")
    reporter = reporter or Silent()
    gpu = to_argument(replace(spec.gpu, cache=None, require_cached=False))
    patience = TIMEOUT if spec.device in _LIBRARIES.keys() - {"tensorrt"} | {"cpu"} else _BUILDING
    arguments = [
        str(bundle.path.absolute()),
        spec.device,
        "" if spec.threads is None else str(spec.threads),
        spec.graph or "",
    ]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="edgefer-cold-", ignore_cleanup_errors=True) as name,
            reporter.task("cold start") as advance,
        ):

            def start(cache: Path, libraries: str) -> Answer:
                asked = [*arguments, libraries, gpu]
                answered = ask(_MODULE, asked, environment={VARIABLE: str(cache)}, timeout=patience)
                advance(1)
                return answered

            # Not counted: it brings the files into the page cache, and says which runner it is.
            runner = str(start(Path(name) / "first", "").value["runner"])
            libraries = _LIBRARIES.get(runner, "")
            folders = [Path(name) / f"empty{number}" for number in range(spec.repeats)]
            empty = [start(folder, libraries) for folder in folders]
            filled = [start(folders[-1], libraries) for _ in range(spec.repeats)] if _holds(folders[-1]) else []
    except OSError as error:
        raise EnvironmentMismatch(
            f"cannot keep a private cache in {tempfile.gettempdir()}: {error}",
            hint="free some space there, or point TMPDIR at a folder with room",
        ) from error
    return summarise(empty, filled)


def summarise(empty: Sequence[Answer], filled: Sequence[Answer]) -> ColdStart:
    """The record of starts with an empty cache, and with a filled one where anything was cached."""
    counted = filled or empty
    note = _NOTE if filled else f"nothing is cached between starts; {_NOTE}"
    return ColdStart(
        repeats=len(counted),
        total=_total(counted),
        stages=_stages(counted),
        empty_total=_total(empty) if filled else None,
        empty_stages=_stages(empty) if filled else (),
        note=note,
    )


def _total(answers: Sequence[Answer]) -> float:
    return statistics.median(answer.seconds for answer in answers)


def _stages(answers: Sequence[Answer]) -> tuple[Stage, ...]:
    runs = [_seconds(answer) for answer in answers]
    return tuple(
        Stage(
            name=name,
            seconds=statistics.median(run[name] for run in runs),
            low=min(run[name] for run in runs),
            high=max(run[name] for run in runs),
            note=_note(name, answers[-1]),
        )
        for name in _ORDER
        if all(name in run for run in runs)
    )


def _seconds(answer: Answer) -> dict[str, float]:
    """The seconds of every stage of one start; together they are its total."""
    told: dict[str, float] = dict(answer.value["seconds"])
    told["compile or cache"] = told.pop("open")
    told["interpreter"] = answer.value["begun"] - answer.started
    told["rest"] = answer.seconds - sum(told.values())
    return told


def _note(name: str, answer: Answer) -> str:
    if name == "compile or cache":
        parts = {part: seconds for part, seconds in answer.value["opening"].items() if part != "read"}
        return ", ".join(f"{part} {seconds * 1e3:.3g} ms" for part, seconds in parts.items())
    if name == "self-check":
        return str(answer.value["checked"])
    if name == "rest":
        return "between the stages: an input is made, the answer is told"
    return ""


def _holds(cache: Path) -> bool:
    """Whether anything was cached: a file, not only folders and locks."""
    return any(path.is_file() and path.suffix != ".lock" for path in cache.rglob("*"))
