"""FERAtt from synthetic pairs to a bundle in INT8 that knows where its classes lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

import edgefer
from edgefer.bundle.container import Bundle
from edgefer.bundle.verify import verify_bundle
from edgefer.progress import Silent
from edgefer.runtime.class_means import ClassMeans
from edgefer_export import steps
from edgefer_export.build import build
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.simplify import SimplifyResult
from edgefer_export.spec import BuildSpec

FIELDS: dict[str, Any] = {
    "evaluation": "synthetic:10:2",
    "options": {"width": "0.125", "size": "64", "dim": "6", "labels": "viri"},
    "flavour": "none",
    # A network that has learnt nothing cannot pass.
    "allow_over_budget": True,
}


@pytest.fixture(autouse=True)
def unsimplified(monkeypatch: pytest.MonkeyPatch) -> None:
    # The child has tests of its own, and takes a second each time.
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))


def built(tmp_path: Path, **fields: Any) -> tuple[Bundle, Silent]:
    told = Silent()
    spec = BuildSpec(**{"network": "feratt", "output": tmp_path / "feratt.edgefer", **FIELDS, **fields})
    result = build(spec, told)
    assert result.bundle is not None
    return Bundle.read(result.bundle), told


@pytest.mark.parametrize("name", ["feratt", pytest.param("feratt-paper", marks=pytest.mark.slow)])
def test_int8_takes_the_means_from_the_calibration_data(name: str, tmp_path: Path) -> None:
    bundle, told = built(tmp_path, network=name, calibration="synthetic:10:1")
    manifest = bundle.manifest
    assert manifest.precision == "int8"
    embedding = manifest.embedding
    assert embedding is not None
    assert (embedding.output, embedding.count, len(embedding.spread)) == ("embedding", 10, 5)
    assert any("Means of 5 classes from 10 images of synthetic:10:1" in note for note in told.notes)
    assert manifest.provenance.sources["embedding"] == manifest.calibration.digest  # type: ignore[union-attr]
    assert verify_bundle(tmp_path / "feratt.edgefer").passed
    # The pairs have an infrared picture as well, which a network of one camera leaves.
    graph = bundle.graph()
    assert [(spec.name, spec.role) for spec in graph.inputs] == [("visible", "visible")]
    data = open_dataset("synthetic:10:1", labels=manifest.labels)
    means = bundle.array(embedding.means)
    with edgefer.load(bundle, device="onnxruntime", optimise=False) as session:
        rows = [[] for _ in manifest.labels]
        for example in Feeds(data, graph.inputs).examples():
            estimate = session.infer(**example.tensors)
            rows[example.record.label].append(estimate.outputs["embedding"])
            expected = ClassMeans(means, embedding.spread).distances(estimate.outputs["embedding"][None])[0]
            assert estimate.distance == pytest.approx(expected)
            assert estimate.known == (estimate.distance <= embedding.reject_beyond)
    np.testing.assert_allclose(means, [np.mean(each, axis=0) for each in rows], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_fp32_takes_them_from_the_data_that_is_named(tmp_path: Path) -> None:
    bundle, _ = built(tmp_path, embedding="synthetic:15:3")
    assert bundle.manifest.embedding is not None
    assert bundle.manifest.embedding.count == 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "says"),
    [({}, "give --embedding DATA"), ({"embedding": "none"}, ""), ({"options": {"head": "plain"}}, "")],
)
def test_bundles_without_means_answer_without_distances(fields: dict[str, Any], says: str, tmp_path: Path) -> None:
    options = {**FIELDS["options"], **fields.get("options", {})}
    bundle, told = built(tmp_path, **{**fields, "options": options})
    assert bundle.manifest.embedding is None
    assert any("means of its classes" in note for note in told.notes) == bool(says)
    assert any(says in note for note in told.notes)
    with edgefer.load(bundle, device="onnxruntime") as session:
        estimate = session.infer(visible=np.zeros((1, 3, 64, 64), np.float32))
    assert (estimate.distance, estimate.known) == (None, None)
