"""What to measure, for how long, and against what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgefer.errors import UsageError
from edgefer.runtime.gpu_settings import GpuSettings

PARTS = ("closed", "images", "open", "throughput", "cold-start", "memory", "power", "layers", "compiled")
"""What a benchmark consists of; each can be skipped."""

MOST_STREAMS = 64


@dataclass(frozen=True)
class BenchmarkSpec:
    """A benchmark of one bundle.

    Args:
        device: as `Session` takes it.
        threads: threads of one inference; None leaves it to the runner.
        graph: the role of the graph to measure; None is the bundle's first.
        runs: the closed loop runs at least this often,
        seconds: and at least this long.
        rate: frames a second of the open loop.
        duration: seconds of the open loop.
        queue: frames that may wait in the open loop before the oldest is dropped.
        batches: batch sizes of the throughput curve; empty: those that the graph was made for.
        streams: numbers of concurrent streams of the throughput curve. On a GPU the session has as many as the most of
            them, where that curve is wanted.
        repeats: how often a cold start is repeated.
        skip: parts of `PARTS` to leave out.
        against: names of rivals to measure in turn with ours.
        confidence: of every interval.
        gpu: as `Session` takes it; its number of streams follows from `streams`.

    Raises:
        UsageError: a field cannot be what it is.
    """

    device: str = "auto"
    threads: int | None = None
    graph: str | None = None
    runs: int = 200
    seconds: float = 5.0
    rate: float = 30.0
    duration: float = 10.0
    queue: int = 2
    batches: tuple[int, ...] = ()
    streams: tuple[int, ...] = (1, 2)
    repeats: int = 3
    skip: frozenset[str] = frozenset()
    against: tuple[str, ...] = ()
    confidence: float = 0.95
    gpu: GpuSettings = field(default_factory=GpuSettings)

    def __post_init__(self) -> None:
        for name, least, most in (("runs", 10, 10_000_000), ("queue", 1, 100_000), ("repeats", 1, 100)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} is {value}, expected {least} to {most}")
        for name in ("seconds", "rate", "duration"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}, expected a number above 0")
        if any(batch < 1 for batch in self.batches):
            raise UsageError(f"the batches are {list(self.batches)}, expected numbers of 1 or more")
        if not self.streams or any(not 1 <= count <= MOST_STREAMS for count in self.streams):
            raise UsageError(f"the streams are {list(self.streams)}, expected numbers of 1 to {MOST_STREAMS}")
        unknown = sorted(self.skip - set(PARTS))
        if unknown:
            raise UsageError(f"there is no part {', '.join(unknown)}", hint=f"the parts are: {', '.join(PARTS)}")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"the confidence is {self.confidence}, expected 0.5 to below 1")

    def wants(self, part: str) -> bool:
        """Whether a part is to be measured."""
        return part not in self.skip
