"""What the study of the published systems found: its records and its tables."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.study_results import Estimate, Goal, estimate
from edgefer.version import __version__

Count = tuple[int, int]
"""Right, of."""


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """How one network of the study is trained. `epochs` are passes over the pairs; `towers`, `backbones`, `weights` and
    `saliency` name networks of the study that it starts from, or takes its maps from. What is not `counted` serves
    others only; `note` says what is not as published."""

    network: str
    options: dict[str, str]
    epochs: int
    learning_rate: float
    towers: tuple[str, str] | None = None
    backbones: tuple[str, str] | None = None
    weights: str | None = None
    saliency: str | None = None
    stage: str | None = None
    modality_dropout: float = 0.0
    counted: bool = True
    note: str = ""


class Protocol(msgspec.Struct, frozen=True):
    """How the study is run; figures of another protocol are never mixed with its own."""

    train_pairs: int
    validation_pairs: int
    test_pairs: int
    calibration_pairs: int
    map_pairs: int
    batch: int
    dropout: float
    networks: dict[str, Trained]
    other_systems: tuple[str, ...]
    processes: int = 2

    @property
    def digest(self) -> str:
        """Twelve hex digits over the protocol."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One trained network: what it gets right on the test pairs, by precision; for a fused one also with a camera
    missing, by `camera precision`; how many INT8 answers are those of FP32; and seconds of training."""

    name: str
    seed: int
    parameters: int
    right: dict[str, Count]
    missing: dict[str, Count] = {}
    agreement: Count = (0, 0)
    note: str = ""
    seconds: float = 0.0


class LatencyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One full-width network: median seconds of an inference, by precision and runner."""

    name: str
    size: int
    parameters: int
    threads: int
    medians: dict[str, float]


class Study(msgspec.Struct, frozen=True):
    """The whole study, as it is written to JSON."""

    version: str
    machine: dict[str, str]
    command: str
    protocol: Protocol
    figures: tuple[Figure, ...]
    latency: LatencyRow | None
    seconds: float
    goals: tuple[Goal, ...]


def summarise(
    protocol: Protocol, figures: Sequence[Figure], latency: LatencyRow | None, seconds: float, machine: dict[str, str]
) -> Study:
    """The study from its figures."""
    goals = [
        *(
            _missing_goal(figures, suffix, camera, precision)
            for suffix in ("", "+gate")
            for camera in ("visible", "infrared")
            for precision in ("fp32", "int8")
        ),
        Goal("at most 60 minutes in all", f"{seconds / 60:.0f} minutes", seconds <= 3600),
    ]
    return Study(
        __version__,
        machine,
        "make bench-published",
        protocol,
        tuple(figures),
        latency,
        seconds,
        tuple(goal for goal in goals if goal is not None),
    )


def _missing_goal(figures: Sequence[Figure], suffix: str, left: str, precision: str) -> Goal | None:
    """Whether the fused network with only `left` left is as good as that camera's own, minus one point, in the mean."""
    own = {figure.seed: figure for figure in figures if figure.name == left + suffix}
    fused = {figure.seed: figure for figure in figures if figure.name == "fused" + suffix}
    seeds = sorted(own.keys() & fused.keys())
    if not seeds:
        return None
    found = estimate(
        [share(fused[seed].missing[f"{left} {precision}"]) - share(own[seed].right[precision]) for seed in seeds]
    )
    return Goal(
        f"{precision.upper()}: fused{suffix} with the {left} camera alone at least as good as {left}{suffix} minus one "
        "point, in the mean",
        _points(found),
        found.mean >= -0.01,
    )


def markdown(study: Study) -> str:
    """The study as tables."""
    lines = [
        "| network | width, size | parameters | seeds | FP32 | INT8 | answers alike | visible alone | infrared alone |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    names = dict.fromkeys(figure.name for figure in study.figures if figure.right)
    lines += [_row(study, name, [figure for figure in study.figures if figure.name == name]) for name in names]
    if study.latency is not None:
        row = study.latency
        medians = ", ".join(f"{what} {1e3 * seconds:.1f} ms" for what, seconds in row.medians.items())
        lines += [
            "",
            f"Full width: {row.name}, {row.size} px, {row.parameters:,} parameters, {row.threads} threads: {medians}.",
        ]
    notes = dict.fromkeys(f"{figure.name}: {figure.note}" for figure in study.figures if figure.note)
    lines += ["", *(f"* {note}" for note in notes)] if notes else []
    lines += ["", "| goal | found | met |", "|---|---|---|"]
    lines += [f"| {goal.text} | {goal.found} | {'yes' if goal.met else 'no'} |" for goal in study.goals]
    return "\n".join([*lines, ""])


def share(count: Count) -> float:
    """Right over all."""
    return count[0] / count[1]


def _row(study: Study, name: str, figures: Sequence[Figure]) -> str:
    options = study.protocol.networks[name].options
    alike = sum(figure.agreement[0] for figure in figures), sum(figure.agreement[1] for figure in figures)
    cells = [
        name,
        f"{options.get('width', '1')}, {options.get('size', '224')} px",
        f"{figures[0].parameters:,}",
        str(len(figures)),
        _cell([figure.right["fp32"] for figure in figures]),
        _cell([figure.right["int8"] for figure in figures if "int8" in figure.right]),
        f"{100 * share(alike):.1f} %" if alike[1] else "",
        *(_missing_cell(figures, camera) for camera in ("visible", "infrared")),
    ]
    return "| " + " | ".join(cells) + " |"


def _missing_cell(figures: Sequence[Figure], camera: str) -> str:
    parts = []
    for precision in ("fp32", "int8"):
        counts = [f.missing[f"{camera} {precision}"] for f in figures if f"{camera} {precision}" in f.missing]
        if counts:
            parts.append(f"{precision.upper()} {_cell(counts)}")
    return "; ".join(parts)


def _cell(counts: Sequence[Count]) -> str:
    """All counts added up, the mean share, and the lowest and highest seed."""
    if not counts:
        return ""
    shares = [100 * share(count) for count in counts]
    added = f"{sum(count[0] for count in counts)} of {sum(count[1] for count in counts)}"
    if len(counts) == 1:
        return f"{shares[0]:.1f} % ({added})"
    return f"{statistics.fmean(shares):.1f} % ({added}; {min(shares):.1f} to {max(shares):.1f})"


def _points(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.1f} points, of one seed"
    return f"{100 * found.mean:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def load(path: Path) -> Study:
    """A stored study."""
    return msgspec.json.decode(path.read_bytes(), type=Study)
