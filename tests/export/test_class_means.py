"""Where the classes lie in an embedding: the arithmetic against NumPy written out, and which data it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")

from edgefer.bundle.manifest import OutputSpec
from edgefer.errors import DataError, UsageError
from edgefer.progress import Silent
from edgefer_export.class_means import (
    KEPT,
    MEMBER,
    data_of_means,
    fit,
    locate,
    locate_if_possible,
)
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.data.with_maps import WithMaps
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.spec import BuildSpec

LABELS = ("angry", "happy", "neutral", "sad", "surprise")
OUTPUTS = (
    OutputSpec(name="logits", role="logits", shape=(1, 5)),
    OutputSpec(name="embedding", role="other", shape=(1, 3)),
)


def clusters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, 400)
    widths = np.array([0.1, 1.0, 3.0])
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 40.0]])
    noise = rng.normal(size=(400, 2)) * widths[classes][:, None]
    return (centres[classes] + noise).astype(np.float32), classes


def test_means_spreads_and_distance_are_what_they_say() -> None:
    embeddings, classes = clusters()
    spec, means = fit(embeddings, classes, ("a", "b", "c"))
    assert (means.dtype, means.shape, spec.count, spec.output, spec.means) == (
        np.float32,
        (3, 2),
        400,
        "embedding",
        MEMBER,
    )
    nearest = np.full(400, np.inf)
    for index in range(3):
        rows = embeddings[classes == index].astype(np.float64)
        mean = rows.mean(axis=0)
        spread = np.sqrt(((rows - mean) ** 2).sum(axis=1).mean())
        # The means are stored in float32.
        np.testing.assert_allclose(means[index], mean, rtol=1e-6, atol=1e-6)
        assert spec.spread[index] == pytest.approx(spread, rel=1e-6)
        nearest = np.minimum(nearest, np.linalg.norm(embeddings - mean, axis=1) / spread)
    assert spec.reject_beyond == pytest.approx(np.sort(nearest)[396], rel=1e-5)
    assert spec.kept == pytest.approx(397 / 400)
    assert spec.kept >= KEPT


def test_every_sample_stays_where_there_are_few() -> None:
    spec, _ = fit(np.array([[0.0], [1.0], [5.0], [7.0]], np.float32), np.array([0, 0, 1, 1]), ("a", "b"))
    assert (spec.kept, spec.spread) == (1.0, (0.5, 1.0))
    assert spec.reject_beyond == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("embeddings", "classes", "says"),
    [
        ([[0.0], [1.0], [2.0]], [0, 0, 1], r"fewer of b \(1\)"),
        ([[0.0], [1.0]], [0, 0], r"fewer of b \(0\)"),
        ([[0.0], [1.0], [2.0], [2.0]], [0, 0, 1, 1], "all images of b have one embedding"),
        ([[0.0], [np.nan], [2.0], [3.0]], [0, 0, 1, 1], "not finite"),
    ],
)
def test_what_gives_no_means_is_refused(embeddings: list[list[float]], classes: list[int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fit(np.array(embeddings, np.float32), np.array(classes), ("a", "b"))


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    return registry.create("viri-visible", {"width": "0.125", "size": "32"})


def spec_with(**fields: Any) -> BuildSpec:
    return BuildSpec(network="viri-visible", output=Path("x.edgefer"), precision="fp32", **fields)


def colours(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"embedding": tensors["visible"].mean(axis=(2, 3))}


def test_the_labels_of_the_data_are_put_into_the_order_of_the_logits(network: LoadedNetwork) -> None:
    turned = tuple(reversed(LABELS))
    data = open_dataset("synthetic:20:5", labels=LABELS)
    feeds = Feeds(data, network.inputs)
    located = locate(colours, feeds, LABELS, Silent())
    again = locate(colours, feeds, turned, Silent())
    np.testing.assert_array_equal(again.means, located.means[::-1])
    assert again.spec.spread == tuple(reversed(located.spec.spread))
    assert again.spec.reject_beyond == located.spec.reject_beyond
    assert located.digest == feeds.digest
    expected = [[] for _ in LABELS]
    for example in feeds.examples():
        expected[example.record.label].append(example.tensors["visible"].mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(located.means, [np.mean(rows, axis=0) for rows in expected], rtol=1e-6)


def test_data_for_the_means_is_what_was_named_else_the_calibration(network: LoadedNetwork) -> None:
    calibration = Feeds(open_dataset("synthetic:10:1"), network.inputs)
    told = Silent()
    by_default = data_of_means(spec_with(), network, OUTPUTS, calibration, told)
    assert by_default is not None
    assert by_default.dataset is calibration.dataset
    named = data_of_means(spec_with(embedding="synthetic:5:2"), network, OUTPUTS, calibration, told)
    assert named is not None
    assert named.dataset.source == "synthetic:5:2:lwir"
    assert data_of_means(spec_with(embedding="none"), network, OUTPUTS, calibration, told) is None
    assert data_of_means(spec_with(), network, OUTPUTS[:1], calibration, told) is None
    assert told.notes == []
    assert data_of_means(spec_with(), network, OUTPUTS, None, told) is None
    assert "give --embedding DATA" in told.notes[0]


def test_means_are_of_samples_that_have_both_cameras() -> None:
    pairs = registry.create("viri-fusion", {"width": "0.125", "size": "32", "present": "true"})
    calibration = Feeds(open_dataset("synthetic:4:1"), pairs.inputs, missing=True)
    assert any((tensors["present"] == 0).any() for tensors in calibration)
    found = data_of_means(spec_with(), pairs, OUTPUTS, calibration, Silent())
    assert found is not None
    assert all((tensors["present"] == 1).all() for tensors in found)


def test_data_named_for_the_means_gets_the_maps_that_the_network_takes() -> None:
    taking = registry.create("saliency-alexnet", {"width": "0.05", "size": "64", "labels": "viri"})
    feeds = data_of_means(
        spec_with(embedding="synthetic:2:2"),
        taking,
        OUTPUTS,
        None,
        Silent(),
        with_maps=lambda data: WithMaps(data, lambda index, sample: np.full((112, 112), 255, np.uint8)),
    )
    assert feeds is not None
    assert [float(tensors["saliency"].min()) for tensors in feeds] == [1.0, 1.0]


def test_data_with_other_classes_gives_no_means(network: LoadedNetwork) -> None:
    class Other:
        source, labels, roles = "elsewhere", ("no", "yes"), ("visible",)

        def __len__(self) -> int:
            return 0

    told = Silent()
    assert data_of_means(spec_with(), network, OUTPUTS, Feeds(Other(), network.inputs), told) is None  # type: ignore[arg-type]
    assert told.notes[0].startswith("The bundle gets no means of its classes: elsewhere is not labelled with them.")


def test_means_without_an_embedding_are_refused(network: LoadedNetwork) -> None:
    with pytest.raises(UsageError, match="viri-visible has no output `embedding`"):
        data_of_means(spec_with(embedding="synthetic:5:2"), network, OUTPUTS[:1], None, Silent())


def test_data_that_does_not_suffice_is_a_note_unless_it_was_named(network: LoadedNetwork) -> None:
    feeds = Feeds(open_dataset("synthetic:5:1"), network.inputs)
    told = Silent()
    assert locate_if_possible(colours, feeds, network, spec_with(), told) is None
    assert "no means of its classes: synthetic:5:1:lwir: means of classes need 2 images" in told.notes[-1]
    with pytest.raises(DataError, match="synthetic:5:1:lwir: means of classes need 2 images"):
        locate_if_possible(colours, feeds, network, spec_with(embedding="synthetic:5:1"), told)
