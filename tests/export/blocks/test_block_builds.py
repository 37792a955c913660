"""Networks with an attention in their trunk, from a name to a verified INT8 bundle that answers."""

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
from edgefer.bundle.manifest import BudgetSpec  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.operators import operator_counts  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

OPTIONS = {"width": "0.125", "size": "32"}


@pytest.mark.parametrize(
    ("attention", "gates"), [("se", {"ChannelGate": 8, "GatedPool": 1}), ("bam", {"GatedPool": 1})]
)
def test_an_int8_build_keeps_its_attention(attention: str, gates: dict[str, int], tmp_path: Path) -> None:
    spec = BuildSpec(
        network="viri-visible",
        output=tmp_path / "net.edgefer",
        options={**OPTIONS, "attention": attention},
        calibration="synthetic:4:1",
        evaluation="synthetic:5:2",
        precision="int8",
        budget=BudgetSpec(),
        allow_over_budget=True,
        flavour="none",
    )
    result = build(spec, Silent())
    assert result.bundle is not None
    bundle = Bundle.read(result.bundle)
    (graph,) = bundle.manifest.graphs
    model = onnx.load_from_string(bundle.onnx(graph))
    assert operator_counts(model) == gates
    operators = [node.op_type for node in model.graph.node]
    # 20 convolutions of the trunk and 2 layers of the head; BAM has 6 more in each of 3 places.
    assert operators.count("Conv") == 20 + (18 if attention == "bam" else 0)
    read = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    floating = [node.name for node in model.graph.node if node.op_type == "Conv" and not set(node.input[:2]) <= read]
    # With random weights a ReLU of few channels may give nothing but zeros, which have no range.
    assert [name for name in floating if "between" not in name or name.endswith(".0/Conv")] == []
    assert bundle.manifest.network.options["attention"] == attention
    report = verify_bundle(result.bundle)
    assert report.passed, report.checks
    with edgefer.load(result.bundle, device="cpu") as session:
        estimate = session.infer_images(visible=np.full((40, 40, 3), 90, np.uint8))
    assert 0 < estimate.confidence <= 1
