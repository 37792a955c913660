"""What a Triton repository computes: its ONNX in onnxruntime, its Python models with a stand-in for Triton's module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.golden import golden_feeds
from edgefer.bundle.manifest import EmbeddingSpec, ImageSpec
from edgefer.errors import BundleError
from edgefer.runtime.session import Session
from edgefer.serve.triton import write_triton
from edgefer.serve.triton_files import TritonOptions

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

Run = Callable[..., list[Any]]


def network(folder: Path) -> Any:
    return onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def frames(count: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "visible": generator.integers(0, 256, (count, 13, 11, 3), np.uint8),
        "infrared": generator.integers(0, 256, (count, 9, 17, 1), np.uint8),
    }


def served(folder: Path, run: Run, request: dict[str, Any]) -> dict[str, Any]:
    """What the ensemble answers: its three models one after the other, as its configuration joins them."""
    (prepared,) = run(folder / "net_prepare", request)
    assert prepared.error is None
    feeds = {name.removeprefix("prepared_"): array for name, array in prepared.outputs.items()}
    outputs = network(folder / "net_network")
    names = [each.name for each in outputs.get_outputs()]
    raw = dict(zip(names, outputs.run(None, feeds), strict=True))
    (answer,) = run(folder / "net_answer", {"logits": raw["logits"], "embedding": raw["embedding"]})
    assert answer.error is None
    return dict(answer.outputs)


@pytest.mark.parametrize("options", [{}, {"mask": True}, {"mask": True, "batches": (1, 4)}], ids=str)
def test_the_onnx_gives_the_golden_answers(options: Any, tiny_bundle_factory: Any, tmp_path: Path) -> None:
    bundle: Bundle = tiny_bundle_factory(**options)
    write_triton(bundle, tmp_path, TritonOptions(name="net"))
    golden = bundle.manifest.golden
    assert golden is not None
    feeds, graph = golden_feeds(bundle, bundle.graph().inputs), network(tmp_path / "net_network")
    expected = bundle.array(golden.expected["logits"])
    for row in range(golden.count):
        answer = graph.run(["logits"], {name: values[row : row + 1] for name, values in feeds.items()})[0]
        np.testing.assert_allclose(answer[0], expected[row], atol=golden.tolerance, rtol=golden.tolerance)


def test_functions_of_edgefer_are_written_out(single_bundle: Any, tmp_path: Path) -> None:
    import onnx

    plain, function = single_bundle(), single_bundle(function=True)
    for name, bundle in (("plain", plain), ("function", function)):
        write_triton(bundle, tmp_path / name, TritonOptions(name="net"))
    file = tmp_path / "function" / "net_network" / "1" / "model.onnx"
    model = onnx.load(file)
    assert not model.functions
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    image = np.random.default_rng(1).random((1, 3, 8, 8), np.float32)
    answers = [
        network(tmp_path / name / "net_network").run(["logits"], {"image": image})[0] for name in ("plain", "function")
    ]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("colour", ["bgr", "rgb"])
def test_the_chain_answers_as_a_session(colour: Any, tiny_bundle_factory: Any, tmp_path: Path, run_model: Run) -> None:
    bundle = tiny_bundle_factory(batches=(1, 4))
    write_triton(bundle, tmp_path, TritonOptions(name="net", colour=colour))
    images = frames(3)
    answer = served(tmp_path, run_model, images)
    assert answer["probabilities"].dtype == np.float32
    with Session(bundle, device="onnxruntime") as session:
        for row in range(3):
            estimate = session.infer_images(
                visible=images["visible"][row], infrared=images["infrared"][row], colour=colour
            )
            assert answer["label"][row, 0].decode() == estimate.label
            np.testing.assert_allclose(answer["probabilities"][row], estimate.probabilities, atol=1e-5)


def test_a_camera_may_be_missing_where_the_network_has_a_mask(
    tiny_bundle_factory: Any, tmp_path: Path, run_model: Run
) -> None:
    bundle = tiny_bundle_factory(mask=True, batches=(1, 4))
    write_triton(bundle, tmp_path, TritonOptions(name="net"))
    images = frames(2)
    with Session(bundle, device="onnxruntime") as session:
        for role in ("visible", "infrared"):
            answer = served(tmp_path, run_model, {role: images[role]})
            for row in range(2):
                expected = session.infer_images(**{role: images[role][row]}).probabilities
                np.testing.assert_allclose(answer["probabilities"][row], expected, atol=1e-5)
        # The first example lacks the infrared camera, the second the visible one, in one request.
        mixed = served(tmp_path, run_model, {**images, "present": np.array([[1, 0], [0, 1]], np.float32)})
        one = session.infer_images(visible=images["visible"][0]).probabilities
        two = session.infer_images(infrared=images["infrared"][1]).probabilities
        np.testing.assert_allclose(mixed["probabilities"], [one, two], atol=1e-5)


def test_pixels_of_a_camera_that_is_missing_are_not_looked_at(
    tiny_bundle_factory: Any, tmp_path: Path, run_model: Run
) -> None:
    write_triton(tiny_bundle_factory(mask=True, batches=(1, 4)), tmp_path, TritonOptions(name="net"))
    present = np.array([[1, 0], [1, 1]], np.float32)
    (response,) = run_model(tmp_path / "net_prepare", {**frames(2), "present": present})
    assert not response.outputs["prepared_infrared"][0].any()
    assert response.outputs["prepared_infrared"][1].any()
    np.testing.assert_array_equal(response.outputs["prepared_present"], present)


def test_a_graph_of_a_fixed_batch_takes_as_many(tiny_bundle_factory: Any, tmp_path: Path, run_model: Run) -> None:
    write_triton(tiny_bundle_factory(batches=(2,)), tmp_path, TritonOptions(name="net"))
    assert served(tmp_path, run_model, frames(2))["probabilities"].shape == (2, 5)


def test_a_request_that_cannot_be_answered_spoils_no_other(
    tiny_bundle_factory: Any, tmp_path: Path, run_model: Run
) -> None:
    write_triton(tiny_bundle_factory(mask=True, batches=(1, 4)), tmp_path, TritonOptions(name="net"))
    good = frames(2)
    bad = [
        ({}, "no camera"),
        ({**good, "infrared": good["infrared"][:1]}, "same number"),
        ({**good, "present": np.array([[1, 1], [0, 0]], np.float32)}, "example 1"),
        ({**good, "present": np.array([[1, 1], [1, 0.5]], np.float32)}, "expected 0 or 1"),
        ({**good, "present": np.ones((2, 3), np.float32)}, "shape"),
        ({"visible": good["visible"], "present": np.ones((2, 2), np.float32)}, "missing"),
        ({"visible": np.zeros((1, 4, 4, 2), np.uint8)}, "shape"),
    ]
    responses = run_model(tmp_path / "net_prepare", good, *(request for request, _ in bad), good)
    assert responses[0].error is None
    assert responses[-1].error is None
    for response, (_, words) in zip(responses[1:-1], bad, strict=True):
        assert words in response.error
        assert not response.outputs


def test_a_camera_is_needed_where_the_network_has_no_mask(
    tiny_bundle_factory: Any, tmp_path: Path, run_model: Run
) -> None:
    write_triton(tiny_bundle_factory(), tmp_path, TritonOptions(name="net"))
    (response,) = run_model(tmp_path / "net_prepare", {"visible": frames(1)["visible"]})
    assert "missing" in response.error


def test_images_of_sixteen_bits_are_taken(single_bundle: Any, tmp_path: Path, run_model: Run) -> None:
    bundle = single_bundle(channels=1, image=ImageSpec(colour="grey", window16=(7000, 9000)))
    write_triton(bundle, tmp_path, TritonOptions(name="net", deep=("visible",)))
    (response,) = run_model(tmp_path / "net_prepare", {"visible": np.full((1, 8, 8, 1), 8000, np.uint16)})
    np.testing.assert_allclose(response.outputs["prepared_visible"], 0.5, atol=1e-6)


def test_temperature_and_class_means_go_into_the_answer(single_bundle: Any, tmp_path: Path, run_model: Run) -> None:
    rows = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], np.float32)
    bundle = single_bundle(
        temperature=2.0,
        embedding=EmbeddingSpec(
            output="embedding",
            means="embedding/means.npy",
            spread=(1.0, 2.0, 1.0),
            reject_beyond=2.0,
            kept=0.9,
            count=9,
        ),
        members={"embedding/means.npy": encode_array(rows)},
    )
    write_triton(bundle, tmp_path, TritonOptions(name="net"))
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]], np.float32)
    embedding = np.array([[9.0, 0.0, 0.0], [0.0, 5.0, 0.0]], np.float32)
    (answer,) = run_model(tmp_path / "net_answer", {"logits": logits, "embedding": embedding})
    assert answer.outputs["label"].tolist() == [[b"calm"], [b"drowsy"]]
    shares = np.exp(logits / 2) / np.exp(logits / 2).sum(1, keepdims=True)
    np.testing.assert_allclose(answer.outputs["probabilities"], shares, rtol=1e-6)
    np.testing.assert_allclose(answer.outputs["distance"], [[0.5], [5.0]], rtol=1e-6)
    assert answer.outputs["known"].tolist() == [[True], [False]]


def test_logits_that_cannot_be_are_an_error(tiny_bundle_factory: Any, tmp_path: Path, run_model: Run) -> None:
    write_triton(tiny_bundle_factory(), tmp_path, TritonOptions(name="net"))
    requests = [{"logits": np.full((1, 5), np.nan, np.float32)}, {"logits": np.zeros((1, 4), np.float32)}]
    first, second = run_model(tmp_path / "net_answer", *requests)
    assert "not finite" in first.error
    assert "(1, 4)" in second.error


@pytest.mark.parametrize("model", ["net_prepare", "net_answer"])
@pytest.mark.parametrize("content", [None, b"{}", b"\xff", b'{"version": 1, "unknown": 2}'])
def test_settings_that_cannot_be_read_keep_a_model_from_loading(
    model: str, content: bytes | None, tiny_bundle_factory: Any, tmp_path: Path, run_model: Run
) -> None:
    write_triton(tiny_bundle_factory(), tmp_path, TritonOptions(name="net"))
    place = tmp_path / model / "1" / "settings.json"
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(BundleError, match=r"settings\.json"):
        run_model(tmp_path / model, {})
