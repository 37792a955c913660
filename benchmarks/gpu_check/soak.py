"""One session that answers a million times: memory of the host and of the GPU must stay as they are."""

from __future__ import annotations

import time

from benchmarks.gpu_check.result import Check, MemoryLine, SoakFigures
from benchmarks.gpu_check.subject import Subject, counted, device_of
from edgefer.benchmark.growth import growth
from edgefer.benchmark.memory_child import resident
from edgefer.runtime.gpu_settings import GpuSettings

INFERENCES = 1_000_000
SAMPLES = 200
WARM_UP = 0.1
"""The share of the samples that are not looked at: caches fill, and the allocator takes what it will keep."""
MOST_PER_RUN = (1 << 20) / 100_000
"""A MiB in 100,000 inferences, of either memory."""


def soak(subject: Subject, inferences: int = INFERENCES) -> tuple[list[Check], SoakFigures]:
    """Whether memory is flat, and the lines through it."""
    every = max(1, inferences // SAMPLES)
    runs: list[int] = []
    host: list[int] = []
    gpu: list[int] = []
    feeds = subject.feeds()
    with subject.open(GpuSettings()) as session:
        device = device_of(session)
        session.infer(**feeds)
        before = counted(session, "launches")
        started = time.perf_counter()
        for done in range(1, inferences + 1):
            session.infer(**feeds)
            if not done % every:
                free, total = device.memory()
                runs.append(done)
                host.append(resident("VmRSS") or 0)
                gpu.append(total - free)
        seconds = time.perf_counter() - started
        replays = counted(session, "launches") - before
    kept = slice(int(len(runs) * WARM_UP), None)
    figures = SoakFigures(
        engine=subject.engine,
        inferences=inferences,
        replays=replays,
        seconds=seconds,
        host=_line(runs[kept], host[kept]) if all(host) else None,
        gpu=_line(runs[kept], gpu[kept]),
    )
    return [_replayed(figures), *_flat(figures)], figures


def _line(runs: list[int], sizes: list[int]) -> MemoryLine:
    found = growth(runs, sizes)
    return MemoryLine(
        per_run=found.per_run,
        low=found.low,
        high=found.high,
        runs=found.runs,
        samples=found.samples,
        bytes_in_use=found.last,
    )


def _replayed(figures: SoakFigures) -> Check:
    name = f"{figures.engine}: every inference is one launch of a graph"
    said = f"{figures.replays:,} launches for {figures.inferences:,} inferences"
    return Check(name=name, state="passed" if figures.replays == figures.inferences else "failed", found=said)


def _flat(figures: SoakFigures) -> list[Check]:
    checks = []
    for where, line in (("host", figures.host), ("GPU", figures.gpu)):
        name = f"{figures.engine}: memory of the {where} over {figures.inferences:,} inferences"
        if line is None:
            checks.append(Check(name=name, state="absent", found="this system does not tell what is resident"))
            continue
        said = (
            f"{line.per_run * 1e5 / 1024:.0f} KiB per 100,000 inferences ({line.low * 1e5 / 1024:.0f} to "
            f"{line.high * 1e5 / 1024:.0f}), at most 1024 allowed; {line.bytes_in_use / 2**20:.1f} MiB in use"
        )
        checks.append(Check(name=name, state="passed" if line.per_run <= MOST_PER_RUN else "failed", found=said))
    return checks
