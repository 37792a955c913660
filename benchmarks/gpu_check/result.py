"""What a check of a GPU found, as one JSON file.

Times are in seconds, sizes in bytes. What was not had on a machine is absent with the reason, never zero.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgefer.benchmark.result import Machine

State = Literal["passed", "failed", "absent"]
CacheState = Literal["warm", "cold"]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable and closed against unknown fields; each class states `kw_only`, which msgspec does not inherit."""


class Device(_Struct, frozen=True, kw_only=True):
    """The GPU. `binary` is the file of edgefer's kernels that it takes, `toolkit` the CUDA that this was made with."""

    name: str
    compute_capability: str
    multiprocessors: int
    l2_bytes: int
    memory_bytes: int
    driver: str
    binary: str
    toolkit: str


class Check(_Struct, frozen=True, kw_only=True):
    """Something that is right or not; `found` says what is wrong, or what there is to know."""

    name: str
    state: State
    found: str = ""


class Figure(_Struct, frozen=True, kw_only=True):
    """The median of `count` measurements with its 95 % interval, and the range that holds the middle half of them."""

    count: int
    median: float
    low: float
    high: float
    quarter: float
    three_quarters: float


class Timing(_Struct, frozen=True, kw_only=True):
    """One way of computing a workload once: "edgefer", or what it is held against. `ratio` is its time over edgefer's
    in the same rounds, the median with its interval."""

    way: str
    cache: CacheState
    figure: Figure
    ratio: Figure | None = None


class WorkloadResult(_Struct, frozen=True, kw_only=True):
    """One workload: what the launches must move, what any kernel must move, and all its timings."""

    name: str
    operation: str
    stage: str
    batch: int
    form: str
    launches: int
    moved_bytes: int
    floor_bytes: int
    timings: tuple[Timing, ...]
    absent: dict[str, str] = {}

    def timing(self, way: str, cache: CacheState) -> Timing | None:
        """The one of a way, if it was taken."""
        return next((each for each in self.timings if (each.way, each.cache) == (way, cache)), None)


class Baselines(_Struct, frozen=True, kw_only=True):
    """What times are held against: an empty kernel as a node of a graph, and a copy's bytes a second, read and
    written."""

    empty_node: Figure
    copy_bytes_per_second: Figure
    copied_bytes: int


class SessionFigures(_Struct, frozen=True, kw_only=True):
    """What one inference of a session costs, in seconds, all taken in the same rounds.

    `gpu` is what a replay of its graph takes by events, `wall` what `infer` takes the caller, `overhead` what that is
    longer, round by round; `bound_overhead` is the same of arrays that are bound in the GPU's memory, where the host
    touches no tensor; `plain` is `infer` without graphs. `loading` has the stages of opening a session by how it
    was opened ("cold", "warm"), and `clocks` the least and the greatest clock seen meanwhile, in hertz, by its name.
    """

    engine: str
    gpu: Figure
    gpu_p99_over_p50: float
    wall: Figure
    wall_p99: float
    overhead: Figure
    bound_overhead: Figure | None = None
    plain: Figure | None = None
    replayed: bool = True
    loading: dict[str, dict[str, float]] = {}
    clocks: dict[str, tuple[float, float]] = {}
    warnings: tuple[str, ...] = ()


class MemoryLine(_Struct, frozen=True, kw_only=True):
    """A line through memory in use over many inferences: bytes that each one more takes, with its interval, and what
    was in use in the end."""

    per_run: float
    low: float
    high: float
    runs: int
    samples: int
    bytes_in_use: float


class SoakFigures(_Struct, frozen=True, kw_only=True):
    """Memory over many inferences of one session: resident in the host's, and in use of the GPU's as its driver tells
    it, which other processes change too. `seconds` is what all took, `replays` how many graphs were launched."""

    engine: str
    inferences: int
    replays: int
    seconds: float
    host: MemoryLine | None = None
    gpu: MemoryLine


class Goal(_Struct, frozen=True, kw_only=True):
    """One goal for one workload; `met` is None where what it takes was not measured."""

    name: str
    workload: str
    found: float | None
    limit: float
    met: bool | None
    beside: dict[str, float | None] = {}


class Part(_Struct, frozen=True, kw_only=True):
    """One part of the check. `reason` is why it is absent or failed as a whole; its checks have their own."""

    state: State
    reason: str = ""
    seconds: float = 0.0
    checks: tuple[Check, ...] = ()
    baselines: Baselines | None = None
    workloads: tuple[WorkloadResult, ...] = ()
    sessions: tuple[SessionFigures, ...] = ()
    soaks: tuple[SoakFigures, ...] = ()
    details: dict[str, Any] = {}


class GpuCheck(_Struct, frozen=True, kw_only=True):
    """The whole file. `note` says what the figures are of, `parts` are by name in the order in which they were run."""

    schema: Literal[1] = 1
    created: str
    edgefer: str
    commit: str
    machine: Machine
    device: Device
    parts: dict[str, Part] = {}
    goals: tuple[Goal, ...] = ()

    @property
    def failed(self) -> tuple[str, ...]:
        """What is wrong: parts that failed as a whole, and single checks."""
        wrong = []
        for name, part in self.parts.items():
            checks = [f"{name}: {check.name}: {check.found}" for check in part.checks if check.state == "failed"]
            wrong += checks or ([f"{name}: {part.reason}"] if part.state == "failed" else [])
        return tuple(wrong)
