"""Somebody else's graph with its attention fused to operators of this project, beside the same graph left alone.

    python -m pytest benchmarks/test_bench_fused.py -s

In onnxruntime, which runs an operator's function: fusing must cost nothing where no kernel takes the operator. Where a
session's buffers are placed favours it for its whole life, so five pairs of sessions are made, and a round is a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from benchmarks.foreign_attention import SIZE, Cbam, Squeeze, exported
from benchmarks.interleaved import Pair, interleaved
from benchmarks.note import note
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer_export.fuse_attention import fuse_attention
from edgefer_export.operators import operator_counts
from edgefer_export.simplify import simplify

PAIRS, BLOCKS = 5, 4


@pytest.mark.parametrize(("attention", "operator"), [(Squeeze, "ChannelGate"), (Cbam, "CbamAttention")])
def test_fused(benchmark: Any, attention: Any, operator: str) -> None:
    plain = simplify(exported(attention)).model
    fused = fuse_attention(plain).model
    assert operator_counts(fused) == {operator: BLOCKS}
    feeds = {"x": np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)}
    ours, bare = [], []
    for _ in range(PAIRS):
        runners = [OnnxRuntimeRunner(model.SerializeToString(), threads=2) for model in (fused, plain)]
        pair = interleaved(
            lambda runner=runners[0]: runner.run(feeds),  # type: ignore[misc]
            lambda runner=runners[1]: runner.run(feeds),  # type: ignore[misc]
            60,
            warm_up=10,
        )
        ours.append(pair.ours)
        bare.append(pair.bare)
    benchmark.pedantic(lambda: runners[0].run(feeds), rounds=10, warmup_rounds=1)
    found = Pair.of(ours, bare)
    note(
        benchmark,
        found,
        "the graph left alone",
        goal="not slower beyond the interval",
        met=found.compared.interval.low <= 1.0,
    )
