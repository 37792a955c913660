"""What `benchmarks/rivals.py` found: its record in JSON and its table in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgefer import atomic
from edgefer.benchmark.result import Latency, Ratio

RESULTS = Path(__file__).parent / "results" / "rivals.json"

MOST_LOAD = 0.05
"""What other processes may take before the table says so."""


class Row(msgspec.Struct, frozen=True):
    """One way to run a network. `over` is each of ours over this one; `difference` that of its outputs from ours on
    onnxruntime, as max|a - b| / max(1, max|ours|)."""

    name: str
    latency: Latency
    over: dict[str, Ratio]
    difference: float
    note: str
    steady: bool


class Cell(msgspec.Struct, frozen=True):
    """One network in one precision with one number of threads. `load` is the share of all CPUs that other processes
    took meanwhile, None where the system does not tell."""

    network: str
    precision: str
    threads: int
    digest: str
    rounds: int
    rows: tuple[Row, ...]
    absent: dict[str, str]
    versions: dict[str, str]
    load: float | None

    @property
    def name(self) -> str:
        """As it is asked for."""
        return f"{self.network}:{self.precision}:{self.threads}"


class Stored(msgspec.Struct, frozen=True):
    """All that was measured on one machine."""

    machine: dict[str, Any]
    cells: tuple[Cell, ...]


def load() -> Stored | None:
    """What has been measured so far; None where nothing has."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Stored) if RESULTS.exists() else None


def store(found: Stored) -> None:
    """Add cells to what has been measured, in place of older ones of the same name."""
    names = {cell.name for cell in found.cells}
    before = load()
    kept = [] if before is None else [cell for cell in before.cells if cell.name not in names]
    cells = tuple(sorted([*kept, *found.cells], key=lambda cell: (cell.precision, cell.threads, cell.network)))
    data = msgspec.json.format(msgspec.json.encode(Stored(found.machine, cells)), indent=1)
    atomic.write_bytes(RESULTS, data + b"\n")


def markdown(stored: Stored) -> str:
    """A table for each precision and number of threads: medians in milliseconds, and the first of ours over each."""
    lines = [f"Measured on {stored.machine['cpu']}, {stored.machine['cpus']} CPUs.", ""]
    groups = dict.fromkeys((cell.precision, cell.threads) for cell in stored.cells)
    for precision, threads in groups:
        cells = [cell for cell in stored.cells if (cell.precision, cell.threads) == (precision, threads)]
        names = list(dict.fromkeys(row.name for cell in cells for row in cell.rows))
        ours = [name for name in names if name.startswith("edgefer")]
        lines += [f"### {precision}, {threads} thread{'s' if threads > 1 else ''}", ""]
        lines += ["| network | " + " | ".join(names) + " |", "|---" + "|--:" * len(names) + "|"]
        for cell in cells:
            rows = {row.name: row for row in cell.rows}
            medians = [f"{1e3 * rows[name].latency.p50:.2f} ms" if name in rows else "–" for name in names]
            busy = f" (others took {cell.load:.0%} of the CPUs)" if cell.load and cell.load > MOST_LOAD else ""
            lines.append(f"| {cell.network}{busy} | " + " | ".join(medians) + " |")
            for mine in ours:
                ratios = [_ratio(rows[name].over.get(mine)) if name in rows else "–" for name in names]
                lines.append(f"| {mine} over it | " + " | ".join(ratios) + " |")
        lines.append("")
    absent = {f"{name}: {reason}" for cell in stored.cells for name, reason in cell.absent.items()}
    return "\n".join([*lines, *sorted(absent)]).rstrip() + "\n"


def _ratio(found: Ratio | None) -> str:
    if found is None:
        return ""
    mark = {"faster": "", "slower": " **slower**", "within-noise": " (noise)"}[found.verdict]
    return f"{found.value:.2f} [{found.interval.low:.2f}, {found.interval.high:.2f}]{mark}"
