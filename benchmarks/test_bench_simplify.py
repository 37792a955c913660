"""Simplifying full-width `viri-fusion` in a child process and checking the result, beside onnxsim called in place.

python -m pytest benchmarks/test_bench_simplify.py -s
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxsim")

import onnx
import onnxsim

from benchmarks.interleaved import in_turn
from benchmarks.note import note
from benchmarks.steps import exported
from edgefer_export.simplify import simplify

ROUNDS = 4
CHECKS = 3


def test_simplify(benchmark: Any, tmp_path: Path) -> None:
    """Beside onnxsim's own command, which is a child process and checks the result on random input as well."""
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    source.write_bytes(exported().SerializeToString())
    command = [sys.executable, "-m", "onnxsim", str(source), str(target), str(CHECKS)]
    pair = in_turn(benchmark, _ours, lambda: subprocess.run(command, check=True, capture_output=True), ROUNDS)
    note(benchmark, pair, f"onnxsim's command with {CHECKS} checks")


def test_simplify_in_place(benchmark: Any) -> None:
    """Beside the bare call: what the child and the checks cost."""
    data = exported().SerializeToString()
    pair = in_turn(benchmark, _ours, lambda: onnxsim.simplify(onnx.load_from_string(data)), ROUNDS)
    note(benchmark, pair, "onnxsim in place, without a check", bytes=len(data))


def _ours() -> None:
    assert simplify(exported()).simplified
