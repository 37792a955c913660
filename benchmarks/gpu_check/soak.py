"""One session that answers a million times: memory of the host and of the GPU must stay as they are."""

from __future__ import annotations

import time

from benchmarks.gpu_check.result import Check, MemoryLine, SoakFigures, State
from benchmarks.gpu_check.subject import Subject, counted, device_of
from edgefer.benchmark.growth import LEAST_SAMPLES, growth
from edgefer.benchmark.memory_child import resident
from edgefer.runtime.gpu_settings import GpuSettings

INFERENCES = 1_000_000
SAMPLES = 200
WARM_UP = 0.1
"""The share of the samples that are not looked at: caches fill, and the allocator takes what it will keep."""
MOST_SECONDS = 3600.0
"""After which no more inferences are made: on a small device a million may take hours, and say no more."""
MOST_PER_RUN = (1 << 20) / 100_000
"""A MiB in 100,000 inferences, of either memory."""

_LEAST_SAMPLES = 2 * LEAST_SAMPLES


def soak(
    subject: Subject, inferences: int = INFERENCES, most_seconds: float = MOST_SECONDS
) -> tuple[list[Check], SoakFigures]:
    """Whether memory is flat, and the lines through it. After `most_seconds` it ends with as many as were made."""
    every = max(1, inferences // SAMPLES)
    runs: list[int] = []
    host: list[int] = []
    gpu: list[int] = []
    feeds = subject.feeds()
    with subject.open(GpuSettings()) as session:
        device, integrated = device_of(session), device_of(session).integrated
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
                if time.perf_counter() - started > most_seconds and len(runs) > _LEAST_SAMPLES:
                    break
        seconds = time.perf_counter() - started
        replays = counted(session, "launches") - before
    kept = slice(int(len(runs) * WARM_UP), None)
    figures = SoakFigures(
        engine=subject.engine,
        inferences=done,
        replays=replays,
        seconds=seconds,
        host=_line(runs[kept], host[kept]) if all(host) else None,
        gpu=_line(runs[kept], gpu[kept]),
    )
    return [_replayed(figures, inferences), *_flat(figures, integrated)], figures


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


def _replayed(figures: SoakFigures, asked: int) -> Check:
    name = f"{figures.engine}: every inference is one launch of a graph"
    said = f"{figures.replays:,} launches for {figures.inferences:,} inferences"
    if figures.inferences < asked:
        said += f"; of {asked:,} no more were made in {figures.seconds:.0f} s"
    return Check(name=name, state="passed" if figures.replays == figures.inferences else "failed", found=said)


def _flat(figures: SoakFigures, integrated: bool) -> list[Check]:
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
        state: State = "passed" if line.per_run <= MOST_PER_RUN else "failed"
        if state == "failed" and integrated and where == "GPU":
            state, said = "absent", f"the GPU works in the host's memory, which everything else changes too: {said}"
        checks.append(Check(name=name, state=state, found=said))
    return checks
