"""What `benchmarks/network_speed.py` found: its record in JSON and its table in Markdown."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import msgspec

from edgefer import atomic

RESULTS = Path(__file__).parent / "results" / "network-speed.json"

PAIRS = 5
MOST_SECONDS, MOST_MEBIBYTES = 60.0, 6 * 1024
_T99 = 4.604
"""Two-sided 99 % quantile of Student's t with four degrees of freedom, those of five pairs."""


class Speed(msgspec.Struct, frozen=True):
    """One network; options that are not its defaults stand behind its name. `medians` are seconds of each graph by pair
    of sessions; `nodes` are those of the graphs, functions counted as one."""

    network: str
    parameters: int
    shapes: dict[str, tuple[int, ...]]
    threads: int
    export_seconds: float
    export_mebibytes: int
    nodes: dict[str, int]
    medians: dict[str, tuple[float, ...]]

    def over(self, graph: str, other: str) -> tuple[float, float, float]:
        """Geometric mean of the pairs' ratios of medians, and its 99 % interval by Student's t on their logarithms."""
        logs = [math.log(a / b) for a, b in zip(self.medians[graph], self.medians[other], strict=True)]
        mean, half = statistics.fmean(logs), _T99 * statistics.stdev(logs) / math.sqrt(len(logs))
        return math.exp(mean), math.exp(mean - half), math.exp(mean + half)

    @property
    def fine(self) -> bool:
        """Not slower than torch's export beyond the interval, and exported in the time and memory that are allowed."""
        return (
            self.over("ours", "plain")[1] <= 1
            and self.export_seconds <= MOST_SECONDS
            and self.export_mebibytes <= MOST_MEBIBYTES
        )


class Found(msgspec.Struct, frozen=True):
    """All that was measured on one machine."""

    machine: dict[str, str]
    networks: tuple[Speed, ...]


def load() -> Found | None:
    """What has been measured so far; None where nothing has."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Found) if RESULTS.exists() else None


def store(found: Found) -> None:
    """Add networks to what has been measured, in place of older figures of the same, and of all of another machine."""
    names = {speed.network for speed in found.networks}
    before = load()
    kept = (
        []
        if before is None or before.machine != found.machine
        else [speed for speed in before.networks if speed.network not in names]
    )
    data = msgspec.json.format(msgspec.json.encode(Found(found.machine, (*kept, *found.networks))), indent=1)
    atomic.write_bytes(RESULTS, data + b"\n")


def markdown(found: Found) -> str:
    """A row for each network."""
    lines = [
        f"Measured on {found.machine['cpu']}, {found.machine['cpus']} CPUs. Below 1, the graph after edgefer's steps "
        "takes less time.",
        "",
        "| network | input | parameters | torch's export | after our steps | ratio | before simplifying | nodes: "
        "torch, ours | export |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for speed in found.networks:
        shapes = " + ".join("×".join(map(str, shape[1:])) for shape in speed.shapes.values())
        plain, ours = (statistics.median(speed.medians[each]) for each in ("plain", "ours"))
        cells = [
            speed.network,
            shapes,
            f"{speed.parameters:,}",
            f"{1e3 * plain:.2f} ms",
            f"{1e3 * ours:.2f} ms",
            _interval(speed.over("ours", "plain")),
            _interval(speed.over("exported", "plain")),
            f"{speed.nodes['plain']}, {speed.nodes['ours']}",
            f"{speed.export_seconds:.0f} s, {speed.export_mebibytes / 1024:.1f} GiB",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _interval(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"
