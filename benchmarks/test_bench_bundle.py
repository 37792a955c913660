"""Reading, writing and verifying a full-width FP32 bundle beside what one would do with a plain ONNX file.

python -m pytest benchmarks/test_bench_bundle.py -s
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime

from benchmarks.interleaved import interleaved
from benchmarks.note import note
from benchmarks.two_towers import full_width, with_golden
from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import golden_feeds
from edgefer.bundle.verify import verify_bundle

ROUNDS = 12
GOLDEN = 8


def test_read(benchmark: Any, tmp_path: Path) -> None:
    path = full_width().write(tmp_path / "full.edgefer")
    pair = interleaved(
        lambda: Bundle.read(path), lambda: hashlib.sha256(path.read_bytes()).hexdigest(), ROUNDS, warm_up=1
    )
    benchmark.pedantic(Bundle.read, (path,), rounds=3)
    note(benchmark, pair, "reading and one SHA-256", bytes=path.stat().st_size)


def test_write(benchmark: Any, tmp_path: Path) -> None:
    bundle = full_width()
    data = bundle.to_bytes()

    def plainly() -> None:
        with (tmp_path / "plain").open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    pair = interleaved(lambda: bundle.write(tmp_path / "full.edgefer"), plainly, ROUNDS, warm_up=1)
    benchmark.pedantic(bundle.write, (tmp_path / "full.edgefer",), rounds=3)
    note(benchmark, pair, "writing the same bytes and fsync", bytes=len(data))


def test_verify(benchmark: Any, tmp_path: Path) -> None:
    """From the file to the golden answers, beside onnxruntime alone on the same graph and inputs."""
    bundle = with_golden(full_width(), GOLDEN)
    path, plain, golden = bundle.write(tmp_path / "full.edgefer"), tmp_path / "full.onnx", bundle.manifest.golden
    assert golden is not None
    plain.write_bytes(bundle.onnx(bundle.graph()))
    inputs = golden_feeds(bundle, bundle.graph().inputs)
    expected = bundle.array(golden.expected["logits"])

    def alone() -> None:
        data = plain.read_bytes()
        hashlib.sha256(data).hexdigest()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for row in range(GOLDEN):
            found = session.run(["logits"], {name: value[row : row + 1] for name, value in inputs.items()})[0]
            np.testing.assert_allclose(found[0], expected[row], rtol=1e-3, atol=1e-3)

    assert verify_bundle(path, "onnxruntime").passed
    pair = interleaved(lambda: verify_bundle(path, "onnxruntime"), alone, ROUNDS, warm_up=1)
    benchmark.pedantic(verify_bundle, (path, "onnxruntime"), rounds=3)
    note(benchmark, pair, "SHA-256 and onnxruntime, same inputs", inputs=GOLDEN)
