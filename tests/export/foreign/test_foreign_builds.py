"""Whole builds of ONNX files: precisions, labels, verdicts, and what the command line takes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import edgefer  # noqa: E402
from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.manifest import BudgetSpec, Manifest  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.cli.main import main  # noqa: E402
from edgefer.errors import CalibrationError, DataError, InputError, UsageError  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.network_argument import classify  # noqa: E402
from edgefer_export.numeric_gate import compare_raw, judge_raw  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A network of one image that gives a map and no classes."""
    return saved(tmp_path / "detector.onnx", classes=None)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return saved(tmp_path / "classifier.onnx", classes=3)


def saved(path: Path, *, classes: int | None) -> Path:
    nodes: list[Any] = [helper.make_node("Conv", ["image", "w"], ["map"], "conv")]
    weights = {"w": RNG.standard_normal((classes or 4, 3, 3, 3)).astype(np.float32)}
    if classes is not None:
        nodes.append(helper.make_node("GlobalAveragePool", ["map"], ["pooled"], "pool"))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["scores"], "flat"))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [onnx.ValueInfoProto(name="map" if classes is None else "scores")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    folder = tmp_path / "photographs" / "all"
    folder.mkdir(parents=True)
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), RNG.integers(0, 256, (20, 20, 3), np.uint8))
    return str(folder.parent)


def built(tmp_path: Path, network: Path, **fields: Any) -> Manifest:
    building.build(BuildSpec(network=str(network), output=tmp_path / "out.edgefer", flavour="none", **fields))
    assert verify_bundle(tmp_path / "out.edgefer", "onnxruntime").passed
    return Bundle.read(tmp_path / "out.edgefer").manifest


def test_a_detector_is_quantised_on_unlabelled_images(detector: Path, photographs: str, tmp_path: Path) -> None:
    manifest = built(tmp_path, detector, calibration=photographs)
    assert (manifest.precision, manifest.labels, manifest.gate.verdict) == ("int8", (), "numeric")
    assert manifest.calibration is not None
    assert manifest.calibration.count == 4
    assert [step.step for step in manifest.gate.steps] == ["fp32 ONNX as given", "converted", "simplified", "int8"]
    assert all(step.agreement is None for step in manifest.gate.steps)
    assert 0 < manifest.gate.steps[-1].max_error < 0.2
    assert "map" in manifest.gate.reason
    assert "network" in manifest.provenance.sources
    with edgefer.load(tmp_path / "out.edgefer") as session:
        assert session.run({"image": np.zeros((1, 3, 16, 16), np.float32)})["map"].shape == (1, 4, 14, 14)
        with pytest.raises(InputError, match="has no logits"):
            session.infer(image=np.zeros((1, 3, 16, 16), np.float32))


@pytest.mark.parametrize("precision", ["fp16", "int8+fp16"])
def test_other_precisions(precision: Any, detector: Path, photographs: str, tmp_path: Path) -> None:
    calibration = photographs if precision.startswith("int8") else None
    manifest = built(tmp_path, detector, precision=precision, calibration=calibration, batches=(1, 2))
    assert (manifest.precision, manifest.graphs[0].batches) == (precision, (1, 2))


def test_unlabelled_evaluation_is_numeric_too(detector: Path, photographs: str, tmp_path: Path) -> None:
    manifest = built(tmp_path, detector, evaluation=photographs, golden_from_data=True)
    assert (manifest.gate.data_count, manifest.gate.data_source) == (4, photographs)
    assert len(manifest.gate.data_digest) == 64


def test_calibration_data_is_not_judged_on(detector: Path, photographs: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        built(tmp_path, detector, calibration=photographs, evaluation=photographs + "/")


def test_a_classifier_has_labels_and_is_judged_by_agreement(classifier: Path, tmp_path: Path) -> None:
    manifest = built(tmp_path, classifier, labels=("a", "b", "c"))
    assert (manifest.labels, manifest.gate.verdict) == (("a", "b", "c"), "numeric")
    assert manifest.gate.steps[-1].agreement == 1.0
    assert manifest.graphs[0].outputs[0].role == "logits"
    with edgefer.load(tmp_path / "out.edgefer") as session:
        assert session.infer_images(visible=np.zeros((20, 20, 3), np.uint8)).label in ("a", "b", "c")


def test_labels_come_from_labelled_data(classifier: Path, tmp_path: Path) -> None:
    for label in ("one", "two"):
        (tmp_path / "data" / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / label / "0.png"), RNG.integers(0, 256, (20, 20, 3), np.uint8))
    with pytest.raises(UsageError, match="gives 3 classes in its output scores, but there are 2 labels"):
        built(tmp_path, classifier, evaluation=str(tmp_path / "data"))


def test_int8_of_a_classifier_needs_data_to_judge_on(classifier: Path, photographs: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --evaluation") as raised:
        built(tmp_path, classifier, calibration=photographs)
    assert "--output scores:other" in raised.value.hint
    with pytest.raises(CalibrationError, match="needs --calibration"):
        built(tmp_path, classifier, precision="int8")
    assert built(tmp_path, classifier, calibration=photographs, output_roles={"scores": "other"}).precision == "int8"


def test_a_bundle_without_classes_is_not_evaluated(
    detector: Path, photographs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(tmp_path, detector)
    assert main(["evaluate", str(tmp_path / "out.edgefer"), "--data", photographs]) == 2
    assert "has no classes" in capsys.readouterr().err


def test_a_fixed_batch_cannot_be_freed(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"], "fixed")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 2])],
        [numpy_helper.from_array(np.array([1, 2, 2]), "shape")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "f.onnx")
    with pytest.raises(edgefer.errors.ExportError, match=r"f\.onnx"):
        built(tmp_path, tmp_path / "f.onnx", batches=(1, 2))


def test_weights_and_options_are_refused(classifier: Path) -> None:
    assert classify(str(classifier)) == "onnx"
    for fields, said in (
        ({"weights": Path("best.pt")}, "has its weights in it"),
        ({"options": {"a": "1"}}, "no options"),
    ):
        with pytest.raises(UsageError, match=said):
            BuildSpec(network=str(classifier), output=Path("x.edgefer"), **fields)  # type: ignore[arg-type]


def test_raw_outputs_are_compared_by_their_numbers() -> None:
    def scaled(by: float) -> Any:
        return lambda tensors: {"a": tensors["x"] * np.float32(by), "b": tensors["x"]}

    feeds = [{"x": np.full((1, 3), 2.0, np.float32)} for _ in range(3)]

    def judged(**forms: Any) -> Any:
        return judge_raw(compare_raw({"given": scaled(1.0), **forms}, feeds), BudgetSpec())

    good = judged(converted=scaled(1.0), int8=scaled(1.1))
    assert (good.verdict, good.blamed_step) == ("numeric", None)
    assert good.steps[-1].max_error == pytest.approx(0.1, rel=1e-5)
    assert "(a 0.1, b 0)" in good.reason
    wrong = judged(converted=scaled(1.1), int8=scaled(1.1))
    assert (wrong.verdict, wrong.blamed_step) == ("fail", "converted")
    broken = judged(converted=scaled(1.0), int8=scaled(float("nan")))
    assert (broken.verdict, broken.blamed_step) == ("fail", "int8")
    assert "not finite on 3 of 3" in broken.reason
    other = judged(int8=lambda tensors: {"a": tensors["x"][:, :2], "b": tensors["x"]})
    assert "more than any bound" in other.reason


def test_the_command_line(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.txt").write_text("happy\nsad\nangry\n\n")
    words = ["build-engine", str(classifier), "--flavour", "none", "-o", str(tmp_path / "out.edgefer")]
    said = ["--input", "image=3x16x16:infrared", "--output", "scores:logits", "--labels", str(tmp_path / "labels.txt")]
    assert main([*words, *said]) == 0
    manifest = Bundle.read(tmp_path / "out.edgefer").manifest
    assert manifest.labels == ("happy", "sad", "angry")
    assert (manifest.graphs[0].role, manifest.graphs[0].inputs[0].role) == ("infrared", "infrared")
    assert main(["inspect", str(tmp_path / "out.edgefer")]) == 0
    (tmp_path / "labels.txt").write_text("happy\nsad\n")
    capsys.readouterr()
    assert main([*words, *said]) == 2
    assert "gives 3 classes in its output scores, but there are 2 labels" in capsys.readouterr().err
