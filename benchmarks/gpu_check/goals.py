"""The goals, evaluated on every GPU.

Those for CBAM are set on an H200, with a cold cache, for each stage; on another GPU they are told and mean less.

* A block takes at most 1.3 times what its bytes take at the measured rate of a copy plus what its launches take as
  empty nodes. Beside it: the same against the bytes that any kernel must move, and with a warm cache.
* At batch 1 a block has at most 2 launches, and is at least twice as fast as the best of torch.compile in a CUDA
  graph.

Those for a session hold on any GPU: with a graph, `infer` takes at most 100 us more than the GPU works on it; and by
events the 99th percentile of that work is at most 1.05 times its median, where clocks are steady. Beside it: the wall
time, the same of bound arrays, what it is without a graph, and the least and the greatest clock of the GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from benchmarks.gpu_check.result import Baselines, Goal, Part, SessionFigures, WorkloadResult
from benchmarks.gpu_check.timings import OURS, floor_seconds
from benchmarks.gpu_check.torch_rivals import COMPILED

OVER_DESIGN, LAUNCHES, TIMES_FASTER = 1.3, 2.0, 2.0
MOST_OVERHEAD, MOST_JITTER = 100e-6, 1.05
_FORM = "f16h"


def goals(parts: Mapping[str, Part]) -> tuple[Goal, ...]:
    """Every goal, `met` being None where something for it was not measured."""
    baselines = next((part.baselines for part in parts.values() if part.baselines is not None), None)
    blocks = [each for part in parts.values() for each in part.workloads if each.operation == "cbam"]
    of_blocks = _goals((each for each in blocks if each.form == _FORM), baselines)
    return (*of_blocks, *_of_sessions(each for part in parts.values() for each in part.sessions))


def _of_sessions(sessions: Iterable[SessionFigures]) -> Iterator[Goal]:
    for each in sessions:
        overhead = each.overhead.median if each.replayed else None
        yield Goal(
            name="overhead of infer, microseconds",
            workload=each.engine,
            found=None if overhead is None else 1e6 * overhead,
            limit=1e6 * MOST_OVERHEAD,
            met=None if overhead is None else overhead <= MOST_OVERHEAD,
            beside={
                "wall seconds": each.wall.median,
                "GPU seconds": each.gpu.median,
                "of bound arrays": None if each.bound_overhead is None else each.bound_overhead.median,
                "without a graph": None if each.plain is None else each.plain.median,
            },
        )
        clocks = [each.clocks["gpu"]] if "gpu" in each.clocks else []
        yield Goal(
            name="p99 over p50 of the GPU's time",
            workload=each.engine,
            found=each.gpu_p99_over_p50,
            limit=MOST_JITTER,
            met=each.gpu_p99_over_p50 <= MOST_JITTER,
            beside={
                "least clock": min((least for least, _ in clocks), default=None),
                "greatest clock": max((most for _, most in clocks), default=None),
            },
        )


def _goals(blocks: Iterable[WorkloadResult], baselines: Baselines | None) -> Iterator[Goal]:
    for block in blocks:
        yield _against_design(block, baselines)
        if block.batch == 1:
            yield Goal(
                name="launches",
                workload=block.name,
                found=float(block.launches),
                limit=LAUNCHES,
                met=block.launches <= LAUNCHES,
            )
            yield _against_compiled(block)


def _against_design(block: WorkloadResult, baselines: Baselines | None) -> Goal:
    cold, warm = (_seconds(block, cache) for cache in ("cold", "warm"))
    if baselines is None or cold is None:
        return Goal(name="time over design", workload=block.name, found=None, limit=OVER_DESIGN, met=None)
    design = floor_seconds(block.moved_bytes, baselines) + block.launches * baselines.empty_node.median
    found = cold / design
    return Goal(
        name="time over design",
        workload=block.name,
        found=found,
        limit=OVER_DESIGN,
        met=found <= OVER_DESIGN,
        beside={
            "cold seconds": cold,
            "design seconds": design,
            "over the bytes that any kernel must move": cold / floor_seconds(block.floor_bytes, baselines),
            "warm seconds": warm,
            "warm over design": None if warm is None else warm / design,
        },
    )


def _against_compiled(block: WorkloadResult) -> Goal:
    found = [block.timing(way, "cold") for way in COMPILED]
    ratios = [each.ratio.median for each in found if each is not None and each.ratio is not None]
    warm = [block.timing(way, "warm") for way in COMPILED]
    warm_ratios = [each.ratio.median for each in warm if each is not None and each.ratio is not None]
    best = min(ratios, default=None)
    return Goal(
        name="times faster than torch.compile",
        workload=block.name,
        found=best,
        limit=TIMES_FASTER,
        met=None if best is None else best >= TIMES_FASTER,
        beside={"with a warm cache": min(warm_ratios, default=None)},
    )


def _seconds(block: WorkloadResult, cache: str) -> float | None:
    timing = block.timing(OURS, "cold" if cache == "cold" else "warm")
    return None if timing is None else timing.figure.median
