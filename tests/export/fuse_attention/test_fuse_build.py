"""Attention in a build: the step, what the later steps make of it, the option, and what `edgefer check` lists."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("cv2")

from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.cli.main import main  # noqa: E402
from edgefer.errors import UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.resolve import resolve  # noqa: E402
from edgefer_export.runners import graph_function  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.steps import Graphs, make_graphs  # noqa: E402

FILE = """
import torch
from torch import nn
from torch.nn import functional as F

class Attended(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.squeeze, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.shared = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)
        self.head = nn.Linear(8, 3)

    def forward(self, visible):
        x = F.relu(self.stem(visible))
        x = x * torch.sigmoid(self.expand(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        y = self.body(x)
        y = y * torch.sigmoid(self.shared(F.adaptive_avg_pool2d(y, 1)) + self.shared(F.adaptive_max_pool2d(y, 1)))
        y = y * torch.sigmoid(self.spatial(torch.cat((y.mean(1, keepdim=True), y.amax(1, keepdim=True)), 1)))
        return self.head(F.relu(y + x).mean((2, 3)))

def make():
    torch.manual_seed(3)
    return Attended()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))
    monkeypatch.setattr(building, "write_report", lambda report, folder: (folder, folder))


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(FILE)
    return f"{path}:make"


def spec(network: str, tmp_path: Path, **fields: Any) -> BuildSpec:
    given = {"inputs": {"visible": (3, 32, 32)}, "labels": ("a", "b", "c"), "exporter": "torchscript", **fields}
    return BuildSpec(network=network, output=tmp_path / "own.edgefer", flavour="none", **given)


def graphs_of(asked: BuildSpec, told: Silent) -> Graphs:
    found = resolve(asked, told)
    calibration = None if found.calibration is None else Feeds(found.calibration, found.network.inputs)
    return make_graphs(found.network, calibration, asked, told)


def operators(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_a_network_from_a_file_gets_the_step(own: str, tmp_path: Path) -> None:
    told = Silent()
    made = graphs_of(spec(own, tmp_path, precision="fp32"), told)
    assert [step.name for step in made.steps] == ["exported", "simplified", "fused"]
    assert made.steps[1].model is made.steps[0].model
    found = operators(made.final.model)
    assert (found["ChannelGate"], found["CbamAttention"], found["Conv"]) == (1, 1, 2)
    assert any(note.startswith("1 x CbamAttention (with residual and ReLU)") for note in made.final.notes)
    assert set(made.final.notes) <= set(told.notes)
    tensors = {"visible": np.random.default_rng(1).random((1, 3, 32, 32)).astype(np.float32)}
    answers = [graph_function(step.model)(tensors)["logits"] for step in made.steps]
    assert np.abs(answers[2] - answers[1]).max() < 1e-5


def test_off_leaves_it(own: str, tmp_path: Path) -> None:
    made = graphs_of(spec(own, tmp_path, precision="fp32", fuse_attention="off"), Silent())
    assert [step.name for step in made.steps] == ["exported", "simplified"]
    assert operators(made.final.model)["ChannelGate"] == 0


def test_int8_and_fp16_go_around_the_nodes(own: str, tmp_path: Path) -> None:
    data = {"calibration": "synthetic:4:1", "evaluation": "synthetic:4:2", "labels": None}
    three = {"labels": ("happy", "neutral", "surprise")}
    made = graphs_of(spec(own, tmp_path, precision="int8+fp16", **{**data, **three}), Silent())
    assert [step.name for step in made.steps] == ["exported", "simplified", "fused", "int8", "fp16"]
    found = operators(made.final.model)
    assert (found["ChannelGate"], found["CbamAttention"]) == (1, 1)
    assert made.quantised is not None
    floating = {layer.name.rsplit("/", 1)[-1] for layer in made.quantised.layers if layer.precision == "float"}
    assert floating == {"ChannelGate", "CbamAttention"}
    # Stem, body and head alone are in INT8: the layers of the blocks are inputs of their nodes.
    assert sum(layer.precision == "int8" for layer in made.quantised.layers) == 3
    tensors = {"visible": np.random.default_rng(1).random((1, 3, 32, 32)).astype(np.float32)}
    answers = [graph_function(step.model)(tensors)["logits"] for step in made.steps]
    assert np.abs(answers[-1] - answers[0]).max() < 0.1


def test_a_bundle_has_the_step_and_its_figure(own: str, tmp_path: Path) -> None:
    building.build(spec(own, tmp_path, precision="fp32"))
    bundle = Bundle.read(tmp_path / "own.edgefer")
    figures = {figure.step: figure for figure in bundle.manifest.gate.steps}
    assert list(figures)[-3:] == ["exported", "simplified", "fused"]
    assert figures["fused"].max_error < 1e-5
    graph = onnx.load_from_string(bundle.onnx(bundle.manifest.graphs[0]))
    assert sorted(function.name for function in graph.functions) == ["CbamAttention", "ChannelGate"]


def test_an_onnx_file_gets_the_step_and_check_lists_it(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = graphs_of(spec(own, tmp_path, precision="fp32", fuse_attention="off"), Silent()).final.model
    file = tmp_path / "theirs.onnx"
    onnx.save(plain, file)
    asked = BuildSpec(network=str(file), output=tmp_path / "theirs.edgefer", flavour="none", labels=("a", "b", "c"))
    made = graphs_of(asked, Silent())
    assert [step.name for step in made.steps] == ["converted", "simplified", "fused"]
    assert main(["check", str(file), "--target", "tensorrt-10.3", "--no-ask-parser", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["attention"]
    assert [line.split(" (")[0] for line in said] == ["1 x CbamAttention", "1 x ChannelGate"]
    assert main(["check", str(file), "--target", "tensorrt-10.3", "--no-ask-parser"]) == 0
    assert "attention" in capsys.readouterr().out


def test_the_code_of_the_page_runs(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "attention-in-your-network.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    plain = graphs_of(spec(own, tmp_path, precision="fp32", fuse_attention="off"), Silent()).final.model
    onnx.save(plain, tmp_path / "theirs.onnx")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {})
    assert "{'CbamAttention': 1, 'ChannelGate': 1}\n1 x CbamAttention (with residual" in capsys.readouterr().out


def test_the_option_is_for_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is for FILE\.py:FACTORY and ONNX files; viri-visible is none"):
        BuildSpec(network="viri-visible", output=tmp_path / "x.edgefer", fuse_attention="off")
    bundle = tmp_path / "x.edgefer"
    bundle.write_bytes(b"PK")
    with pytest.raises(UsageError, match="--fuse-attention cannot apply"):
        BuildSpec(network=str(bundle), fuse_attention="off")
    with pytest.raises(UsageError, match="one of auto, off"):
        BuildSpec.from_fields({"network": "viri-visible", "output": "x.edgefer", "fuse-attention": "on"})
