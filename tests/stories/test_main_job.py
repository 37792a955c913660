"""From a checkpoint to a verified bundle to an answer, by the commands of the documentation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

RTX = importlib.util.find_spec("tensorrt_rtx") is not None


@pytest.fixture(scope="module")
def built(checkpoint: Path, data: Any, edgefer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("build")
    answer = edgefer(
        *("build-engine", "viri-fusion", "--weights", checkpoint, "--precision", "int8"),
        *("--calibration", data.calibration, "--evaluation", data.evaluation),
        *("--flavour", "tensorrt_rtx" if RTX else "none", "-o", folder / "fusion.edgefer"),
    )
    assert answer.code == 0, answer.stderr
    return answer.value


def test_the_build_is_judged_on_unseen_pairs(built: Any) -> None:
    report = built["report"]
    assert built["verdict"] in ("pass", "undecided")
    assert report["evaluation"]["count"] == 300
    assert [step["figure"]["step"] for step in report["steps"]] == ["fp32 network", "exported", "simplified", "int8"]
    reference, exported, _, int8 = (step["figure"] for step in report["steps"])
    assert reference["correct"] > 0.9 * 300
    assert exported["max_error"] < 1e-4
    assert int8["agreement"] > 0.9
    assert {layer["precision"] for layer in report["layers"]} == {"int8", "fp32"}
    assert Path(built["report_html"]).read_text().startswith("<!doctype html>")


def test_the_bundle_answers(built: Any, data: Any, edgefer: Callable[..., Any]) -> None:
    visible, infrared = (data.evaluation / role / "neutral" / "004.png" for role in ("visible", "infrared"))
    answer = edgefer("infer", built["bundle"], "--visible", visible, "--infrared", infrared)
    assert answer.code == 0, answer.stderr
    probabilities = dict(zip(answer.value["labels"], answer.value["probabilities"], strict=True))
    assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert answer.value["label"] == max(probabilities, key=probabilities.get) == "neutral"


def test_evaluating_the_bundle_gives_the_figures_of_the_report(
    built: Any, data: Any, edgefer: Callable[..., Any]
) -> None:
    answer = edgefer("evaluate", built["bundle"], "--data", data.evaluation)
    assert answer.code == 0, answer.stderr
    of_the_report = built["report"]["steps"][-1]["figure"]["correct"]
    # The session runs with graph optimisations, the gate without: a tie may fall the other way.
    assert abs(answer.value["correct"] - of_the_report) <= 2


def test_the_bundle_verifies_and_tells_about_itself(built: Any, edgefer: Callable[..., Any]) -> None:
    verified = edgefer("verify", built["bundle"])
    assert verified.code == 0, verified.stderr
    inspected = edgefer("inspect", built["bundle"])
    assert inspected.code == 0
    text = str(inspected.value)
    assert built["report"]["calibration"]["digest"] in text
    assert "GatedFusion" in text


@pytest.mark.skipif(not RTX, reason="TensorRT-RTX is not installed")
def test_a_bundle_is_recompiled_without_the_host_half(built: Any, edgefer: Callable[..., Any], tmp_path: Path) -> None:
    plan = tmp_path / "fusion.plan"
    answer = edgefer(
        *("build-engine", built["bundle"], "--flavour", "tensorrt_rtx", "--cache", tmp_path, "--engine-out", plan),
        blocked=("torch", "onnxsim", "onnxscript", "cv2", "matplotlib"),
    )
    assert answer.code == 0, answer.stderr
    assert plan.stat().st_size == answer.value["engine"]["graphs"][0]["bytes"]
    again = edgefer(
        *("build-engine", built["bundle"], "--flavour", "tensorrt_rtx", "--cache", tmp_path),
        blocked=("torch", "onnxsim", "onnx"),
    )
    assert again.code == 0, again.stderr
    assert again.value["engine"]["cached"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8+fp16"])
def test_other_precisions(
    precision: str, checkpoint: Path, data: Any, edgefer: Callable[..., Any], tmp_path: Path
) -> None:
    answer = edgefer(
        *("build-engine", "viri-fusion", "--weights", checkpoint, "--precision", precision),
        *("--calibration", data.calibration, "--evaluation", data.evaluation),
        *("--flavour", "none", "-o", tmp_path / "fusion.edgefer"),
    )
    assert answer.code == 0, answer.stderr
    assert answer.value["verdict"] in ("pass", "undecided")
    last = answer.value["report"]["steps"][-1]
    assert last["figure"]["agreement"] > 0.9
    assert {layer["precision"] for layer in answer.value["report"]["layers"]} >= (
        {"fp32"} if precision == "fp32" else {"fp16"}
    )


def test_images_shared_between_calibration_and_evaluation_are_refused(
    checkpoint: Path, edgefer: Callable[..., Any], tmp_path: Path
) -> None:
    answer = edgefer(
        *("build-engine", "viri-fusion", "--weights", checkpoint, "--calibration", "synthetic:16:62"),
        *("--evaluation", "synthetic:40:62", "--flavour", "none", "-o", tmp_path / "fusion.edgefer"),
    )
    assert answer.code == 1
    assert answer.value["error"]["type"] == "DataError"
    assert "16 samples" in answer.value["error"]["message"]
    assert not list(tmp_path.glob("*.edgefer"))


def test_a_network_of_ones_own(edgefer: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),\n"
        "                                  nn.Flatten(), nn.Linear(8, 5))\n\n"
        "    def forward(self, visible):\n"
        "        return self.body(visible)\n\n\n"
        "def make():\n    torch.manual_seed(3)\n    return Mine()\n"
    )
    answer = edgefer(
        *("build-engine", "mine.py:make", "--input", "visible=3x40x40", "--precision", "fp16", "--flavour", "none"),
        *("--labels", "a,b,c,d,e", "-o", "mine.edgefer"),
        cwd=tmp_path,
    )
    assert answer.code == 0, answer.stderr
    assert answer.value["verdict"] == "numeric"
    import edgefer as package

    with package.load(tmp_path / "mine.edgefer") as session:
        estimate = session.infer(visible=np.full((1, 3, 40, 40), 0.5, np.float32))
    assert estimate.labels == ("a", "b", "c", "d", "e")
    assert estimate.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
