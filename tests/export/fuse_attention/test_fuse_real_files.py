"""The real ONNX files: whatever is found in them, they compute what they did."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from edgefer.errors import EdgeferError  # noqa: E402
from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.foreign import Said, load_onnx  # noqa: E402
from edgefer_export.fuse_attention import fuse_attention, recognise  # noqa: E402

DATA = Path(os.environ.get("EDGEFER_TEST_DATA", "."))
pytestmark = pytest.mark.skipif("EDGEFER_TEST_DATA" not in os.environ, reason="EDGEFER_TEST_DATA names no folder")

SHAPES = {
    "attention": {"q": (2, 4), "k": (4, 3), "v": (3, 5)},
    "attention_same_qkv": {"q": (4, 4)},
    "dynamic_identity": {"X": (2, 6, 8)},
    "inp_dim_val_not_set": {"X": (4, 5, 6)},
    "multi_attention": dict.fromkeys(("q", "q1", "k", "k2", "v", "v2"), (4, 4)),
}
ATTENTIONS = {"attention": 1, "attention_same_qkv": 1, "multi_attention": 2}


def files() -> list[Path]:
    return sorted(path for name in ("onnx_conformance", "face_detector") for path in (DATA / name).glob("*.onnx"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_a_file_computes_the_same(path: Path) -> None:
    try:
        network = load_onnx(str(path), Said(SHAPES.get(path.stem, {}), {}, {}, None, None, {}))
        model = network.export(None, (1,)).model
    except EdgeferError:
        pytest.skip("it is refused before it comes to that")
    fused = fuse_attention(model)
    assert fused.report.counts.get("attention", 0) == ATTENTIONS.get(path.stem, 0)
    assert set(fused.report.counts) <= {"attention"}
    assert len(fused.model.graph.node) <= len(model.graph.node)
    if not fused.changed:
        assert fused.model is model
        return
    rng = np.random.default_rng(5)
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
    feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    expected, found = literal_graph(model).run(feeds), literal_graph(fused.model).run(feeds)
    for name, value in expected.items():
        assert relative_error(found[name], value) <= 1e-5


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_looking_at_a_file_as_it_is_takes_anything(path: Path) -> None:
    model = onnx.load(path, load_external_data=False)
    assert set(recognise(model).counts) <= {"attention"}
