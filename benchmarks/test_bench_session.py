"""`Session.infer` beside the onnxruntime session inside it, called bare with the same tensors; and beside `infer`, the
same with memory for the answer, and without waiting.

    python -m pytest benchmarks/test_bench_session.py -s

Two sessions of one graph differ by more than what is measured here, so it is the same session object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from benchmarks.interleaved import interleaved
from benchmarks.note import note
from benchmarks.two_towers import SIZE, full_width, small
from edgefer.runtime.onnxruntime_runner import OnnxRuntimeRunner
from edgefer.runtime.session import Session

MOST_TIMES = 1.03
MOST_ADDED = 100e-6


def tensors() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {role: generator.random((1, 3, SIZE, SIZE), np.float32) for role in ("visible", "infrared")}


@pytest.mark.parametrize("width", ["full", "small"])
def test_infer(benchmark: Any, width: str) -> None:
    session = Session(full_width() if width == "full" else small(), device="onnxruntime")
    runner = session._runner
    assert isinstance(runner, OnnxRuntimeRunner)
    bare, feeds = runner.session, tensors()
    pair = interleaved(
        lambda: session.infer(**feeds), lambda: bare.run(None, feeds), 60 if width == "full" else 600, warm_up=10
    )
    benchmark.pedantic(lambda: session.infer(**feeds), rounds=10, warmup_rounds=1)
    full = width == "full"
    note(
        benchmark,
        pair,
        "the same onnxruntime session called bare",
        goal=f"at most {MOST_TIMES:g} x" if full else f"at most {1e6 * MOST_ADDED:.0f} us more",
        met=pair.ratio <= MOST_TIMES if full else pair.added <= MOST_ADDED,
    )


def test_infer_with_out(benchmark: Any) -> None:
    """Of the small network, where an allocation would show."""
    session, feeds = Session(small(), device="onnxruntime"), tensors()
    out = {spec.name: np.empty(spec.shape, np.float32) for spec in session.graph.outputs}
    pair = interleaved(lambda: session.infer(**feeds, out=out), lambda: session.infer(**feeds), 600, warm_up=10)
    benchmark.pedantic(lambda: session.infer(**feeds, out=out), rounds=10, warmup_rounds=1)
    note(benchmark, pair, "the same session's infer without out=")


def test_infer_async(benchmark: Any) -> None:
    """Asked for and waited for at once: what the way through another thread costs, the copy of the tensors included."""
    session, feeds = Session(small(), device="onnxruntime"), tensors()
    pair = interleaved(lambda: session.infer_async(**feeds).result(), lambda: session.infer(**feeds), 600, warm_up=10)
    benchmark.pedantic(lambda: session.infer_async(**feeds).result(), rounds=10, warmup_rounds=1)
    note(benchmark, pair, "the same session's infer")
