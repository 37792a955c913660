"""Pictures with saliency maps: the layout on disk, maps drawn for synthetic faces, and data sets with maps added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from edgefer.bundle.manifest import ImageSpec, InputSpec  # noqa: E402
from edgefer.errors import DataError, InputError  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.data.splits import targets_and_subjects  # noqa: E402
from edgefer_export.data.synthetic import SyntheticPairs  # noqa: E402
from edgefer_export.data.with_maps import WithMaps, with_known_maps  # noqa: E402

MAP = InputSpec(name="saliency", role="saliency", shape=(1, 1, 32, 32), image=ImageSpec(colour="grey"))
FACE = InputSpec(name="visible", role="visible", shape=(1, 3, 32, 32), image=ImageSpec(colour="rgb"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of 20x30 with maps of 10x15."""
    rng = np.random.default_rng(0)
    for folder, shape, suffix in (("images", (20, 30, 3), "jpg"), ("maps", (10, 15), "png")):
        (tmp_path / folder).mkdir()
        for name in "abc":
            picture = rng.integers(0, 256, shape, dtype=np.uint8)
            assert cv2.imwrite(str(tmp_path / folder / f"{name}.{suffix}"), picture)
    return tmp_path


def test_pictures_and_maps_are_paired_by_name(pictures: Path) -> None:
    dataset = open_dataset(str(pictures), "saliency")
    assert (dataset.roles, dataset.labels, len(dataset)) == (("visible", "saliency"), ("picture",), 3)
    sample = dataset[1]
    assert (sample.name, sample.label, sample.subject) == ("b", 0, None)
    assert sample.images["visible"].shape == (20, 30, 3)
    assert np.array_equal(sample.images["saliency"], cv2.imread(str(pictures / "maps/b.png"), cv2.IMREAD_UNCHANGED))
    assert with_known_maps(dataset) is dataset


def test_a_picture_without_its_map_is_named(pictures: Path) -> None:
    (pictures / "maps/b.png").rename(pictures / "maps/d.png")
    with pytest.raises(DataError, match=r"2 images in .* cannot be paired") as caught:
        open_dataset(str(pictures), "saliency")
    assert caught.value.details == "  images/b.jpg has no partner in maps/\n  maps/d.png has no partner in images/"


def test_what_is_not_as_the_layout_says_is_refused(pictures: Path) -> None:
    cv2.imwrite(str(pictures / "images/a.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"a\.jpg and a\.png"):
        open_dataset(str(pictures), "saliency")
    for path in (pictures / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no image"):
        open_dataset(str(pictures), "saliency")
    (pictures / "images").rmdir()
    with pytest.raises(DataError, match="no folder images/"):
        open_dataset(str(pictures), "saliency")


def test_synthetic_maps_lie_on_eyes_and_mouth() -> None:
    pairs = SyntheticPairs(4, 7, size=96)
    for index in range(len(pairs)):
        found = pairs.saliency(index)
        assert (found.shape, found.dtype, found.max()) == ((96, 96), np.uint8, 255)
        top, left, bottom, right = pairs.mouth_box(index)
        # The mouth is there, and most of what is looked at lies above it: two eyes.
        assert found[(top + bottom) // 2, (left + right) // 2] > 0.7 * 255
        assert found[: (top + bottom) // 2].sum() > found[(top + bottom) // 2 :].sum()
        # A corner of the picture is nothing to look at.
        assert found[:4, :4].max() < 30
    assert np.array_equal(pairs.saliency(1), SyntheticPairs(2, 7, size=96).saliency(1))


def test_a_data_set_with_maps_keeps_all_else() -> None:
    pairs = SyntheticPairs(6, 3, size=32)
    dataset = with_known_maps(pairs)
    assert dataset.roles == ("visible", "infrared", "saliency")
    assert (dataset.labels, dataset.source, len(dataset)) == (pairs.labels, pairs.source, 6)
    assert targets_and_subjects(dataset) == targets_and_subjects(pairs)
    assert np.array_equal(dataset[2].images["saliency"], pairs.saliency(2))
    assert np.array_equal(dataset[2].images["visible"], pairs[2].images["visible"])


def test_a_map_says_nothing_about_whose_picture_it_is() -> None:
    pairs = SyntheticPairs(3, 3, size=32)
    plain = Feeds(pairs, (FACE,))
    mapped = Feeds(with_known_maps(pairs), (FACE, MAP))
    assert plain.digest == mapped.digest
    assert [each.image_digests for each in plain.records] == [each.image_digests for each in mapped.records]
    tensors = next(iter(mapped))
    assert tensors["saliency"].shape == (1, 1, 32, 32)
    assert tensors["saliency"].max() == 1


def test_maps_are_made_of_visible_images_only(pictures: Path) -> None:
    class Infrared(SyntheticPairs):
        roles = ("infrared",)  # type: ignore[assignment]

    with pytest.raises(DataError, match="has only infrared images"):
        WithMaps(Infrared(2, 1), lambda index, sample: np.zeros((4, 4), np.uint8))
    cv2.imwrite(str(pictures / "images/a.jpg"), np.zeros((8, 8, 3), np.uint8))
    folder = open_dataset(str(pictures), "folder")
    with pytest.raises(DataError, match="no saliency maps to learn from") as caught:
        with_known_maps(folder)
    assert "--layout saliency" in caught.value.hint


def test_a_network_of_maps_says_how_to_get_them() -> None:
    with pytest.raises(InputError, match="takes saliency images") as caught:
        Feeds(SyntheticPairs(2, 1), (FACE, MAP))
    assert "--saliency" in caught.value.hint
