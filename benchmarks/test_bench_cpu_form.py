"""INT8 in onnxruntime in the form for a CPU, beside FP32, and the deployed graph beside FP32, at full width.

    python -m pytest benchmarks/test_bench_cpu_form.py -s

Two threads, batch 1, 224 pixels, in turn in one run. Before every timed run the threads of the others fall asleep, and
runs of the same bring back its caches, so that the figures are those of a closed loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from benchmarks.interleaved import Pair
from benchmarks.note import note
from edgefer.benchmark.interleaved import interleaved
from edgefer.benchmark.timeline import Effort
from edgefer.progress import Silent
from edgefer.runtime.cpu_form.choose import LEFT_OUT, LEFT_OUT_OF_FORMS
from edgefer.runtime.cpu_form.derive import derive
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.networks import registry
from edgefer_export.onnx_export import export_onnx
from edgefer_export.quantise import QuantiseSpec, quantise

MOST_TIMES = 0.65
THREADS, ROUNDS = 2, 60
PAUSE, SETTLE = 0.03, 3
NETWORKS = ("viri-fusion", "cbam-early-fusion")


@pytest.fixture(scope="module", params=NETWORKS)
def graphs(request: pytest.FixtureRequest) -> tuple[Any, bytes]:
    """A network with random weights in FP32 and in INT8. Its time does not depend on the values."""
    import torch

    torch.manual_seed(0)
    model = export_onnx(registry.create(request.param)).model
    samples = [images(model, seed) for seed in range(8)]
    return model, quantise(model, lambda: iter(samples), QuantiseSpec(), Silent()).model.SerializeToString()


def images(model: Any, seed: int) -> dict[str, np.ndarray]:
    """An image of random patches in 0..1 for every input."""
    random = np.random.default_rng(seed)
    feeds = {}
    for value in model.graph.input:
        shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        coarse = random.random((*shape[:2], shape[2] // 16, shape[3] // 16), np.float32)
        feeds[value.name] = coarse.repeat(16, axis=2).repeat(16, axis=3)
    return feeds


@pytest.mark.parametrize("form", ["fast", "deployed"])
def test_int8_against_fp32(benchmark: Any, graphs: tuple[Any, bytes], form: str) -> None:
    single, deployed = graphs
    float32 = OnnxRuntimeRunner(single.SerializeToString(), threads=THREADS)
    if form == "fast":
        int8 = OnnxRuntimeRunner(derive(deployed).onnx, threads=THREADS, disabled=LEFT_OUT_OF_FORMS)
    else:
        int8 = OnnxRuntimeRunner(deployed, threads=THREADS, disabled=LEFT_OUT)
    feeds = images(single, 100)
    found = interleaved(
        {"ours": lambda: int8.run(feeds), "bare": lambda: float32.run(feeds)},
        effort=Effort(ROUNDS, 0, most_seconds=math.inf),
        pause=PAUSE,
        settle=SETTLE,
    )
    pair = Pair.of(found.durations["ours"], found.durations["bare"])
    benchmark.pedantic(lambda: int8.run(feeds), rounds=10, warmup_rounds=3)
    note(
        benchmark,
        pair,
        "FP32 in onnxruntime",
        goal=f"at most {MOST_TIMES:g} x" if form == "fast" else "",
        met=pair.ratio <= MOST_TIMES if form == "fast" else None,
        threads=THREADS,
    )
