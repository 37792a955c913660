"""The folder for DeepStream: its configuration, its model, and what is refused."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec
from edgefer.errors import BundleError, ExportError, InputError, UsageError
from edgefer.serve.deepstream import DeepStreamOptions, write_deepstream
from edgefer.serve.plan import Plan

pytest.importorskip("onnx")

# Keys of the group `property`: NVIDIA, DeepStream SDK developer guide, "Gst-nvinfer", table of properties
# (docs.nvidia.com/metropolis/deepstream/dev-guide/text/DS_plugin_gst-nvinfer.html), and in the API reference
# gstnvinfer_property_parser.h.
KEYS = {
    *("gpu-id", "net-scale-factor", "offsets", "model-color-format", "infer-dims", "maintain-aspect-ratio"),
    *("symmetric-padding", "scaling-filter", "onnx-file", "model-engine-file", "labelfile-path", "batch-size"),
    *("network-mode", "network-type", "output-blob-names", "classifier-threshold", "process-mode", "gie-unique-id"),
    *("operate-on-gie-id", "custom-lib-path", "output-tensor-meta"),
}


def properties(folder: Path) -> dict[str, str]:
    """The group `property`, as GLib reads key files: no quotes, no interpolation."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((folder / "nvinfer.txt").read_text(encoding="utf-8"))
    assert parser.sections() == ["property"]
    found = dict(parser["property"])
    assert found.keys() <= KEYS
    return found


def test_the_configuration_names_model_and_labels(single_bundle: Any, tmp_path: Path) -> None:
    written = write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions())
    found = properties(tmp_path / "face")
    assert written.files == ("labels.txt", "model.onnx", "nvinfer.txt")
    assert sorted(each.name for each in (tmp_path / "face").iterdir()) == list(written.files)
    assert (tmp_path / "face" / found["labelfile-path"]).read_text() == "calm;tense;drowsy\n"
    assert (tmp_path / "face" / found["onnx-file"]).stat().st_size
    expected = {
        **{"network-type": "1", "network-mode": "0", "batch-size": "1", "infer-dims": "3;8;8"},
        **{"model-color-format": "0", "output-blob-names": "probabilities", "process-mode": "1"},
        **{"model-engine-file": "model.onnx_b1_gpu0_fp32.engine", "classifier-threshold": "0.0"},
    }
    assert expected.items() <= found.items()
    assert float(found["net-scale-factor"]) == pytest.approx(1 / 255)
    assert "custom-lib-path" not in found


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("function", [False, True])
def test_the_model_gives_probabilities(temperature: float, function: bool, single_bundle: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from edgefer.runtime.session import Session

    bundle = single_bundle(temperature=temperature, function=function, batches=(1, 4))
    write_deepstream(bundle, tmp_path / "face", DeepStreamOptions())
    assert properties(tmp_path / "face")["batch-size"] == "4"
    model = onnxruntime.InferenceSession(tmp_path / "face" / "model.onnx", providers=["CPUExecutionProvider"])
    # Every output is an attribute for nvinfer, so there is to be one only.
    assert [each.name for each in model.get_outputs()] == ["probabilities"]
    images = np.random.default_rng(2).random((4, 3, 8, 8), np.float32)
    (answers,) = model.run(None, {"image": images})
    with Session(bundle, device="onnxruntime") as session:
        expected = [session.infer(visible=image[None]).probabilities for image in images]
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_half_precision_is_a_mode(single_bundle: Any, tmp_path: Path) -> None:
    write_deepstream(single_bundle(precision="fp16"), tmp_path / "face", DeepStreamOptions())
    found = properties(tmp_path / "face")
    assert (found["network-mode"], found["model-engine-file"]) == ("2", "model.onnx_b1_gpu0_fp16.engine")


@pytest.mark.parametrize("precision", ["int8", "int8+fp16"])
def test_int8_needs_an_engine(precision: str, single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration file") as caught:
        write_deepstream(single_bundle(precision=precision), tmp_path / "face", DeepStreamOptions())
    assert "--plan cached" in caught.value.hint
    (tmp_path / "engine").write_bytes(b"an engine")
    options = DeepStreamOptions(plan=str(tmp_path / "engine"))
    write_deepstream(single_bundle(precision=precision), tmp_path / "face", options)
    assert properties(tmp_path / "face")["network-mode"] == "1"


def test_an_engine_gives_raw_tensors(single_bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(b"an engine")
    options = DeepStreamOptions(plan=str(tmp_path / "engine"), plugin_library="/opt/plugins.so")
    written = write_deepstream(single_bundle(), tmp_path / "face", options)
    found = properties(tmp_path / "face")
    assert (tmp_path / "face" / found["model-engine-file"]).read_bytes() == b"an engine"
    expected = {"network-type": "100", "output-tensor-meta": "1", "output-blob-names": "logits"}
    assert {**expected, "custom-lib-path": "/opt/plugins.so"}.items() <= found.items()
    assert not {"onnx-file", "classifier-threshold"} & found.keys()
    assert any("softmax" in note for note in written.notes)
    assert not any("--plugin-library" in note for note in written.notes)


def test_of_an_engine_that_may_have_plugins_their_library_is_asked_for(single_bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(b"an engine")
    written = write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions(plan=str(tmp_path / "engine")))
    assert "custom-lib-path" not in properties(tmp_path / "face")
    assert any("--plugin-library" in note for note in written.notes)


@pytest.mark.parametrize(("plugins", "line"), [((), False), (("edgefer::CbamAttention",), True)])
def test_the_library_is_named_where_the_engine_has_plugins(
    plugins: tuple[str, ...], line: bool, single_bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgefer.serve.deepstream as module

    monkeypatch.setattr(module, "take_plan", lambda *_: Plan(b"an engine", "the cache", plugins))
    write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions(plan="cached"))
    assert ("libedgefer_plugins_autoregister.so" in properties(tmp_path / "face").get("custom-lib-path", "")) == line


def test_objects_of_a_detector_are_classified(single_bundle: Any, tmp_path: Path) -> None:
    write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions(objects_of=3, threshold=0.4))
    found = properties(tmp_path / "face")
    assert {"process-mode": "2", "operate-on-gie-id": "3", "classifier-threshold": "0.4"}.items() <= found.items()
    assert found["gie-unique-id"] != "3"


def test_two_cameras_are_refused(tiny_bundle_factory: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"one image.*'visible' \(visible\), 'infrared' \(infrared\)") as caught:
        write_deepstream(tiny_bundle_factory(mask=True), tmp_path / "face", DeepStreamOptions())
    assert "edgefer triton" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_pre_processing_beyond_it_is_refused(single_bundle: Any, tmp_path: Path) -> None:
    bundle = single_bundle(image=ImageSpec(colour="rgb", equalise="clahe"))
    with pytest.raises(ExportError, match="`equalise`"):
        write_deepstream(bundle, tmp_path / "face", DeepStreamOptions())


def test_a_network_without_logits_is_refused(single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no logits"):
        write_deepstream(single_bundle(outputs=("embedding",)), tmp_path / "face", DeepStreamOptions())


@pytest.mark.parametrize("label", ["a;b", "a\nb"])
def test_labels_that_would_be_two_are_refused(label: str, single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="from one line"):
        write_deepstream(single_bundle(labels=(label, "c", "d")), tmp_path / "face", DeepStreamOptions())


def test_a_name_that_the_softmax_needs_is_refused(single_bundle: Any) -> None:
    from edgefer.serve.probabilities import with_probabilities

    onnx = single_bundle().member("graphs/visible.onnx")
    once = with_probabilities(onnx, "logits", 1.0)
    with pytest.raises(BundleError, match="already"):
        with_probabilities(once, "probabilities", 1.0)
    with pytest.raises(BundleError, match="no output 'scores'"):
        with_probabilities(onnx, "scores", 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": -0.1},
        {"threshold": 1.0},
        {"threshold": float("nan")},
        {"objects_of": 0},
        {"plugin_library": "/opt/plugins.so"},
        {"plan": "engine", "plugin_library": "a\nb"},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        DeepStreamOptions(**options)


def test_a_threshold_is_no_use_with_an_engine(single_bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(b"an engine")
    options = DeepStreamOptions(plan=str(tmp_path / "engine"), threshold=0.5)
    with pytest.raises(UsageError, match="threshold"):
        write_deepstream(single_bundle(), tmp_path / "face", options)
    with pytest.raises(InputError, match="cannot be read"):
        write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions(plan=str(tmp_path / "none")))


def test_a_folder_that_exists_is_replaced_when_asked_for(single_bundle: Any, tmp_path: Path) -> None:
    write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions())
    with pytest.raises(UsageError, match="exists already"):
        write_deepstream(single_bundle(), tmp_path / "face", DeepStreamOptions())
    write_deepstream(single_bundle(precision="fp16"), tmp_path / "face", DeepStreamOptions(force=True))
    assert properties(tmp_path / "face")["network-mode"] == "2"
