"""Whether a session answers alike however it is set: graphs, batches, streams, priorities, pinned and mapped memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.gpu_check.known import Absent, Known, Wrong, answers, close, logits_of, same
from benchmarks.gpu_check.subject import counted, device_of
from edgefer.errors import UsageError
from edgefer.runtime.golden_check import check_golden
from edgefer.runtime.gpu_settings import GpuSettings

THREADS, ROUNDS = 8, 20
BATCH_TOLERANCE = 1e-2
"""Of |a - b| / (1 + |b|) between a batch and its examples one by one, which other kernels may compute."""
KEPT_BYTES = 16 << 20
"""What may be missing of the GPU's memory after sessions: what the driver keeps for the context."""


def golden(known: Known) -> str:
    bundle = known.subject.bundle
    if bundle.manifest.golden is None:
        raise Absent("the bundle has no golden inputs")
    with known.subject.open(GpuSettings()) as session:
        return check_golden(bundle, bundle.manifest.golden, session)


def graphs(known: Known) -> str:
    with known.subject.open(GpuSettings()) as session:
        launches, enqueues = counted(session, "launches"), counted(session, "enqueues")
        same("a graph", answers(session, known.examples), known.expected)
        launches, enqueues = counted(session, "launches") - launches, counted(session, "enqueues") - enqueues
    if launches != len(known.examples) or enqueues:
        raise Wrong(f"{len(known.examples)} inferences were {launches} launches of graphs and {enqueues} enqueues")
    return f"{launches} launches of graphs answer as plain enqueues do, to the bit"


def batches(known: Known) -> str:
    with known.subject.open(GpuSettings()) as session:
        if session.batches[-1] != 1:
            raise Absent(f"the bundle's smallest batch is {session.batches[-1]}")
        worst = 0.0
        for batch in session.batches:
            feeds = known.subject.feeds(batch, seed=batch)
            together = session.run(feeds)
            single = [session.run({name: x[row : row + 1] for name, x in feeds.items()}) for row in range(batch)]
            for name, values in together.items():
                alone = np.concatenate([row[name] for row in single])
                worst = max(worst, close(f"{name} in a batch of {batch}", values, alone, BATCH_TOLERANCE))
    return f"batches of {', '.join(map(str, session.batches))} are off from single examples by {worst:.2g}"


def streams(known: Known) -> str:
    with known.subject.open(GpuSettings(streams=2)) as session, ThreadPoolExecutor(THREADS) as pool:
        asked = list(range(len(known.examples))) * ROUNDS
        found = list(pool.map(lambda index: logits_of(session, known.examples[index]), asked))
    same("two streams", found, [known.expected[index] for index in asked])
    return f"{len(found)} inferences from {THREADS} threads on two streams, all as from one"


def priorities(known: Known) -> str:
    with (
        known.subject.open(GpuSettings(priority="low")) as low,
        known.subject.open(GpuSettings(priority="high")) as high,
    ):
        for name, session in (("low", low), ("high", high)):
            same(f"{name} priority", answers(session, known.examples), known.expected)
    return "two sessions with streams of low and of high priority answer alike"


def memory(known: Known) -> str:
    for zero_copy in (False, True):
        with known.subject.open(GpuSettings(zero_copy=zero_copy)) as session:
            integrated = device_of(session).integrated
            same("mapped memory" if zero_copy else "pinned memory", answers(session, known.examples), known.expected)
    shares = "shares" if integrated else "does not share"
    return f"pinned and mapped memory of the host answer alike; this GPU {shares} the host's memory"


def limit(known: Known) -> str:
    try:
        known.subject.open(GpuSettings(memory_limit=1)).close()
    except UsageError as error:
        return f"a memory limit of one byte is refused: {error.message}"
    raise Wrong("a session with a memory limit of one byte opened")


def given_back(known: Known) -> str:
    # One session is open all the while: with the last one the context goes, and what the driver keeps for it.
    with known.subject.open(GpuSettings()) as outer:
        known.subject.open(GpuSettings(streams=2)).close()
        before, integrated = device_of(outer).memory()[0], device_of(outer).integrated
        for _ in range(5):
            with known.subject.open(GpuSettings(streams=2)) as session:
                session.infer(**known.examples[0])
        lost = before - device_of(outer).memory()[0]
    said = f"{max(lost, 0) / 2**20:.1f} MiB of the GPU's memory are missing after five sessions"
    if lost > KEPT_BYTES and integrated:
        raise Absent(f"the GPU works in the host's memory, which everything else changes too: {said}")
    if lost > KEPT_BYTES:
        raise Wrong(said)
    return said
