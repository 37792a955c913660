"""`edgefer evaluate` on image files, in the process, beside a plain loop of OpenCV and onnxruntime over the same files.

    python -m pytest benchmarks/test_bench_evaluate.py -s

What ours adds is the bundle's digests, those of all images, recalls and their intervals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

import onnxruntime

from benchmarks.interleaved import in_turn
from benchmarks.note import note
from benchmarks.pictures import plain_pairs, write_pairs
from benchmarks.two_towers import LABELS, full_width
from edgefer.cli.main import main

PAIRS = 30
ROUNDS = 8


def test_evaluate(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, bundle = write_pairs(tmp_path / "data", PAIRS), full_width()
    path, plain = bundle.write(tmp_path / "full.edgefer"), tmp_path / "full.onnx"
    plain.write_bytes(bundle.onnx(bundle.graph()))
    found: list[int] = []

    def ours() -> None:
        command = ["evaluate", str(path), "--data", str(folder), "--layout", "pairs", "--json"]
        assert main(command) == 0
        found.append(json.loads(capsys.readouterr().out)["correct"])

    def bare() -> None:
        session = onnxruntime.InferenceSession(str(plain), providers=["CPUExecutionProvider"])
        right = 0
        for tensors, label in plain_pairs(folder, LABELS):
            right += int(session.run(["logits"], tensors)[0].argmax()) == label
        found.append(right)

    pair = in_turn(benchmark, ours, bare, ROUNDS)
    assert len(set(found)) == 1, found
    note(benchmark, pair, "a plain loop over the files", pairs=PAIRS)
