"""`Session.infer` beside the compiled OpenVINO model inside it, called bare with the same tensors.

    python -m pytest benchmarks/test_bench_openvino.py -s

The bare call has an infer request of its own on the same compiled model, and hands its inputs over in the same way,
without a copy: what differs is what edgefer adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("openvino")

from benchmarks.interleaved import interleaved
from benchmarks.note import note
from benchmarks.two_towers import SIZE, full_width, small
from edgefer.runtime.openvino_runner import OpenVinoRunner
from edgefer.runtime.session import Session

MOST_TIMES = 1.03


def tensors() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {role: generator.random((1, 3, SIZE, SIZE), np.float32) for role in ("visible", "infrared")}


@pytest.mark.parametrize("width", ["full", "small"])
def test_infer(benchmark: Any, width: str) -> None:
    session = Session(full_width() if width == "full" else small(), device="openvino")
    runner = session._runner
    assert isinstance(runner, OpenVinoRunner)
    bare, feeds = runner.compiled.create_infer_request(), tensors()
    pair = interleaved(
        lambda: session.infer(**feeds),
        lambda: bare.infer(feeds, share_inputs=True),
        60 if width == "full" else 600,
        warm_up=10,
    )
    benchmark.pedantic(lambda: session.infer(**feeds), rounds=10, warmup_rounds=1)
    full = width == "full"
    note(
        benchmark,
        pair,
        "the same compiled OpenVINO model called bare",
        goal=f"at most {MOST_TIMES:g} x" if full else "",
        met=pair.ratio <= MOST_TIMES if full else None,
    )
