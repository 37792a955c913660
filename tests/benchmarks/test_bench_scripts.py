"""The benchmarks that no test runs can at least be loaded: what they are made of moves under them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

SCRIPTS = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("*.py"))


def test_there_are_some() -> None:
    assert {"rivals", "open_loop", "false_alarms", "published_study", "network_speed"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_loads(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")
