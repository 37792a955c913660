"""Reading and writing a full-width FP32 bundle beside reading a file and taking its SHA-256, and writing it plainly.

python -m pytest benchmarks/test_bench_bundle.py -s
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from benchmarks.interleaved import interleaved
from benchmarks.two_towers import full_width
from edgefer.bundle.container import Bundle

ROUNDS = 11


def test_read(benchmark: Any, tmp_path: Path) -> None:
    path = full_width().write(tmp_path / "full.edgefer")
    pair = interleaved(
        lambda: Bundle.read(path), lambda: hashlib.sha256(path.read_bytes()).hexdigest(), ROUNDS, warm_up=1
    )
    benchmark.pedantic(Bundle.read, (path,), rounds=3)
    _note(benchmark, "reading and one SHA-256", pair.ours, pair.ratio, path.stat().st_size)


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
    _note(benchmark, "writing the same bytes and fsync", pair.ours, pair.ratio, len(data))


def _note(benchmark: Any, against: str, seconds: float, ratio: float, size: int) -> None:
    benchmark.extra_info.update(against=against, seconds=seconds, ratio=ratio, bytes=size)
    print(f"\n{size / 2**20:.0f} MiB: {1e3 * seconds:.0f} ms, {ratio:.2f} x {against}")
