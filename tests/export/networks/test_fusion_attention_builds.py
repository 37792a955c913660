"""Fusion attention and its baselines from a name to a verified bundle that answers, in every precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

import edgefer  # noqa: E402
from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.manifest import Precision  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

OPTIONS = {"width": "0.125", "size": "64"}


def built(folder: Path, network: str, precision: Precision, **options: str) -> Path:
    """A bundle without an engine; ten images say nothing about random weights, so any verdict will do."""
    spec = BuildSpec(
        network=network,
        output=folder / "net.edgefer",
        options={**OPTIONS, **options},
        calibration="synthetic:8:1",
        evaluation="synthetic:10:2",
        precision=precision,
        allow_over_budget=True,
        flavour="none",
    )
    result = build(spec, Silent())
    assert result.bundle is not None
    return result.bundle


@pytest.mark.parametrize(
    ("precision", "pair", "count"),
    [
        ("int8+fp16", "vgg11+vgg13", 18),
        pytest.param("int8", "vgg11+resnet34", 44, marks=pytest.mark.slow),
        pytest.param("fp16", "resnet18+resnet34", 56, marks=pytest.mark.slow),
    ],
)
def test_fusion_attention_builds(precision: Precision, pair: str, count: int, tmp_path: Path) -> None:
    path = built(tmp_path, "fusion-attention", precision, backbones=pair)
    bundle = Bundle.read(path)
    (graph,) = bundle.manifest.graphs
    model = onnx.load_from_string(bundle.onnx(graph))
    assert operator_counts(model) == {"LocalGate": 1}
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    # Those of the trunks and 2 of the MLP on both.
    assert len(convolutions) == count + 2
    quantised = [node for node in convolutions if node.input[1] in dequantised]
    assert len(quantised) == (count + 2 if precision.startswith("int8") else 0)
    (softmax,) = [node for node in model.graph.node if node.op_type == "Softmax"]
    (scores,) = [node for node in model.graph.node if softmax.input[0] in node.output]
    assert scores.op_type == "MatMul"
    assert not dequantised & set(scores.input)
    report = verify_bundle(path)
    assert report.passed, report.checks
    with edgefer.load(path, device="cpu") as session:
        estimate = session.infer_images(visible=np.full((70, 70, 3), 90, np.uint8))
    assert 0 < estimate.confidence <= 1
    assert bundle.manifest.labels[3] == "happiness"


@pytest.mark.slow
@pytest.mark.parametrize(("network", "precision"), [("late-fusion", "int8+fp16"), ("joint-fusion", "int8")])
def test_baselines_build(network: str, precision: Precision, tmp_path: Path) -> None:
    path = built(tmp_path, network, precision, backbones="vgg11+vgg13", size="32")
    report = verify_bundle(path)
    assert report.passed, report.checks
