"""Bundles that say where their classes lie: estimates carry a distance and say "none of these"; what does not fit is
refused."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import edgefer
from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import EmbeddingSpec
from edgefer.bundle.verify import verify_bundle
from edgefer.cli.main import main
from edgefer.errors import BundleError, InputError
from edgefer.runtime.class_means import ClassMeans, Rejection

Made = tuple[Bundle, np.ndarray[Any, Any], EmbeddingSpec]


def with_means(bundle: Bundle, means: np.ndarray[Any, Any], **change: Any) -> Bundle:
    """The bundle with these means (C, D); by default every spread is 1 and everything beyond 2 is of no class."""
    fields = {
        "output": "embedding",
        "means": "embedding/means.npy",
        "spread": (1.0,) * len(bundle.manifest.labels),
        "reject_beyond": 2.0,
        "kept": 0.99,
        "count": 40,
        **change,
    }
    manifest = msgspec.structs.replace(bundle.manifest, members={}, embedding=EmbeddingSpec(**fields))
    members = {name: bundle.member(name) for name in bundle.members}
    return Bundle.from_members(manifest, {**members, "embedding/means.npy": encode_array(means)})


@pytest.fixture(scope="module")
def made(tiny_bundle: Bundle, tiny_inputs: Callable[..., dict[str, Any]]) -> Made:
    """The tiny network with means of five classes: embeddings of random images in groups of eight."""
    feeds = tiny_inputs(40, seed=3)
    with edgefer.load(tiny_bundle, device="onnxruntime") as session:
        embeddings = np.concatenate(
            [
                session.run({name: array[index : index + 1] for name, array in feeds.items()})["embedding"]
                for index in range(40)
            ]
        )
    groups = embeddings.reshape(5, 8, 8)
    means = groups.mean(axis=1)
    spread = tuple(float(np.sqrt(((g - m) ** 2).sum(axis=1).mean())) for g, m in zip(groups, means, strict=True))
    farthest = ClassMeans(means, spread).distances(embeddings).max()
    bundle = with_means(tiny_bundle, means, spread=spread, reject_beyond=float(farthest) * 1.01)
    spec = bundle.manifest.embedding
    assert spec is not None
    return bundle, means, spec


def test_distance_is_to_the_nearest_class_in_units_of_its_spread() -> None:
    means = np.array([[0.0, 0.0], [10.0, 0.0]], np.float32)
    distances = ClassMeans(means, (1.0, 4.0)).distances(np.array([[3.0, 4.0], [6.0, 0.0], [10.0, 2.0]], np.float32))
    # To (6, 0): 6 spreads of the first class, 4 / 4 of the second.
    np.testing.assert_allclose(distances, [min(5.0, np.hypot(7, 4) / 4), 1.0, 0.5], rtol=1e-12)


def test_estimates_carry_the_distance(made: Made, tiny_inputs: Callable[..., dict[str, Any]]) -> None:
    bundle, means, spec = made
    with edgefer.load(bundle, device="onnxruntime") as session:
        for seed in range(5):
            estimate = session.infer(**tiny_inputs(seed=seed))
            away = np.linalg.norm(estimate.outputs["embedding"].astype(np.float64) - means, axis=1)
            assert estimate.distance == pytest.approx((away / spec.spread).min(), rel=1e-6)
            assert estimate.known == (estimate.distance <= spec.reject_beyond)
            assert estimate.label == estimate.labels[int(estimate.logits.argmax())]


def test_images_like_those_of_the_means_are_known_and_others_are_none_of_these(
    made: Made, tiny_inputs: Callable[..., dict[str, Any]]
) -> None:
    bundle, _, _ = made
    shapes = {name: array.shape for name, array in tiny_inputs().items()}
    with edgefer.load(bundle, device="onnxruntime") as session:
        faces = [session.infer(**tiny_inputs(seed=seed)) for seed in range(100, 140)]
        # A lens cap and the sun.
        others = [
            session.infer(**{name: np.full(shape, value, np.float32) for name, shape in shapes.items()})
            for value in (0, 1)
        ]
    assert sum(estimate.known is True for estimate in faces) >= 36
    assert [estimate.known for estimate in others] == [False, False]
    assert all(estimate.label in estimate.labels for estimate in others)


def test_batches_carry_a_distance_each(
    tiny_bundle_factory: Callable[..., Bundle], tiny_inputs: Callable[..., dict[str, Any]]
) -> None:
    bundle = with_means(tiny_bundle_factory(batches=(1, 2)), np.zeros((5, 8), np.float32))
    feeds = tiny_inputs(3, seed=1)
    examples = [{name: array[index : index + 1] for name, array in feeds.items()} for index in range(3)]
    with edgefer.load(bundle, device="onnxruntime") as session:
        together = session.infer_batch(examples)
        assert [each.distance for each in together] == pytest.approx([session.infer(**e).distance for e in examples])


def test_without_means_there_is_no_distance(tiny_bundle: Bundle, tiny_inputs: Callable[..., dict[str, Any]]) -> None:
    with edgefer.load(tiny_bundle, device="onnxruntime") as session:
        estimate = session.infer(**tiny_inputs())
    assert (estimate.distance, estimate.known) == (None, None)


@pytest.mark.parametrize(
    ("means", "says"),
    [
        (np.zeros((5, 7), np.float32), r"float32 \(5, 7\), expected float32 \(5, 8\)"),
        (np.zeros((4, 8), np.float32), r"expected float32 \(5, 8\)"),
        (np.zeros((5, 8), np.float64), r"float64 \(5, 8\)"),
        (np.full((5, 8), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_means_that_do_not_fit_are_found(
    tiny_bundle: Bundle, tmp_path: Path, means: np.ndarray[Any, Any], says: str
) -> None:
    bundle = with_means(tiny_bundle, means)
    with pytest.raises(BundleError, match=says):
        edgefer.load(bundle, device="onnxruntime")
    report = verify_bundle(bundle.write(tmp_path / "x.edgefer"), "onnxruntime")
    assert not report.passed
    assert "embedding fused" in [check.name for check in report.checks if not check.passed]


def test_a_bundle_with_means_verifies(made: Made, tmp_path: Path) -> None:
    report = verify_bundle(made[0].write(tmp_path / "x.edgefer"), "onnxruntime")
    assert report.passed, report.checks
    (check,) = [check for check in report.checks if check.name == "embedding fused"]
    assert check.detail == "means of 5 classes, finite"


def test_an_embedding_that_is_not_finite_is_an_error() -> None:
    judge = Rejection("embedding", ClassMeans(np.zeros((2, 2), np.float32), (1.0, 1.0)), 2.0).judge
    with pytest.raises(InputError, match="'embedding' that is not finite"):
        judge(np.array([np.nan, 0.0], np.float32))
    assert judge(np.array([2.0, 0.0], np.float32)) == (2.0, True)
    assert judge(np.array([2.5, 0.0], np.float32)) == (2.5, False)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_an_embedding_of_another_shape_than_the_means_is_refused(shape: tuple[int, ...]) -> None:
    judge = Rejection("embedding", ClassMeans(np.zeros((2, 2), np.float32), (1.0, 1.0)), 2.0).judge
    with pytest.raises(BundleError, match=r"of the shape \(.*expected \(2,\)"):
        judge(np.zeros(shape, np.float32))


def test_distances_of_many_embeddings_need_no_more_memory_than_of_some() -> None:
    rng = np.random.default_rng(0)
    embeddings, means = rng.normal(size=(3000, 64)).astype(np.float32), rng.normal(size=(40, 64)).astype(np.float32)
    known = ClassMeans(means, rng.uniform(1, 2, 40))
    tracemalloc.start()
    try:
        distances = known.distances(embeddings)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All differences together are 3000 x 40 x 64 doubles, 61 MB; at a time 8 MB of them are there.
    assert most < 20e6
    np.testing.assert_array_equal(distances, [known.distances(each[None])[0] for each in embeddings])


def test_inspect_and_infer_say_it(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_bundle: Bundle
) -> None:
    cv2 = pytest.importorskip("cv2")
    path = made[0].write(tmp_path / "known.edgefer")
    assert main(["inspect", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "'embedding', means of 5 classes from 40 samples; none of these beyond" in printed
    assert "99.00 %" in printed
    for name, channels in (("visible", 3), ("infrared", 1)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, channels), np.uint8))
    images = ["--visible", str(tmp_path / "visible.png"), "--infrared", str(tmp_path / "infrared.png")]
    assert main(["infer", str(path), *images]) == 0
    assert "none of these: " in capsys.readouterr().out
    assert main(["infer", str(path), *images, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["known"] is False
    assert answer["distance"] > 0
    plain = tiny_bundle.write(tmp_path / "plain.edgefer")
    assert main(["infer", str(plain), *images]) == 0
    assert "spread" not in capsys.readouterr().out


def test_evaluate_counts_what_is_none_of_these(
    made: Made, tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2 = pytest.importorskip("cv2")
    for role in ("visible", "infrared"):
        for label in made[0].manifest.labels:
            folder = tmp_path / "data" / role / label
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "dark.png"), np.zeros((8, 8, 3), np.uint8))
    for bundle, unknown in ((made[0], 5), (tiny_bundle, None)):
        path = bundle.write(tmp_path / "x.edgefer")
        asked = ["evaluate", str(path), "--data", str(tmp_path / "data"), "--layout", "pairs"]
        assert main([*asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["none_of_these"] == unknown
        assert main(asked) == 0
        assert ("5 of 5 are taken for none of the classes" in capsys.readouterr().out) == (unknown is not None)
