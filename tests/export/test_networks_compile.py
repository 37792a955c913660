"""Every registered network, narrow and small, through TensorRT-RTX's parser and builder in each precision."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx")
pytest.importorskip("onnxruntime")

from edgefer.engine.compile import CompileRequest, compile_onnx  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.half import to_half  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.onnx_export import export_onnx, random_inputs  # noqa: E402
from edgefer_export.quantise import QuantiseSpec, quantise  # noqa: E402


@pytest.mark.parametrize(
    "name",
    [
        *("viri-fusion", "cbam-early-fusion", "fusion-attention", "late-fusion"),
        pytest.param("feratt", marks=pytest.mark.slow),
        pytest.param("feratt-paper", marks=pytest.mark.slow),
    ],
)
def test_each_precision_compiles(name: str) -> None:
    torch.manual_seed(0)
    network = registry.create(name, {"width": "0.125", "size": "64"})
    model = export_onnx(network).model
    feeds = [random_inputs(network.inputs, seed) for seed in range(2)]
    int8 = quantise(model, lambda: iter(feeds), QuantiseSpec(method="max"), Silent()).model
    variants = {"fp32": model, "fp16": to_half(model).model, "int8": int8, "int8+fp16": to_half(int8).model}
    counts = {
        precision: compile_onnx(each.SerializeToString(), CompileRequest("tensorrt_rtx")).report.counts
        for precision, each in variants.items()
    }
    assert all(each.unparsed == 0 and each.convolutions > 0 for each in counts.values())
    assert (counts["fp32"].int8_convolutions, counts["fp16"].int8_convolutions) == (0, 0)
    assert counts["int8"].int8_convolutions >= 20
    assert counts["int8+fp16"].int8_convolutions >= 20
    assert counts["fp16"].per_precision.get("fp16", 0) > counts["fp16"].per_precision.get("fp32", 0)
