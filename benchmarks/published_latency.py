"""What full width takes: `viri-fusion` as published, in FP32 and INT8, through a session on this CPU."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.published_results import LatencyRow
from benchmarks.registered import bundle
from edgefer.benchmark import stimulus
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.timeline import Effort
from edgefer.runtime.session import Session

NETWORK, THREADS = "viri-fusion", 2


def latency(folder: Path) -> LatencyRow:
    """Medians of both precisions on each runner there is, measured in turn."""
    from edgefer.runtime import openvino_library

    runners = ["onnxruntime"] if openvino_library.unavailable() else ["onnxruntime", "openvino"]
    with ExitStack() as stack:
        actions = {}
        for precision in ("fp32", "int8"):
            subject = bundle(NETWORK, precision, folder)  # type: ignore[arg-type]
            feeds = dict(stimulus.tensors(subject, subject.graph()))
            for runner in runners:
                session = stack.enter_context(Session(subject, device=runner, threads=THREADS))
                actions[f"{precision} {runner}"] = lambda session=session, feeds=feeds: session.infer(**feeds)
        found = interleaved(actions, effort=Effort(40, 2.0, 60.0), pause=0.02, settle=2)
        return LatencyRow(
            name=NETWORK,
            size=int(subject.graph().inputs[0].shape[-1]),
            parameters=subject.manifest.network.parameters,
            threads=THREADS,
            medians={name: float(np.median(values)) for name, values in found.durations.items()},
        )
