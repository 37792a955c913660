"""Visible and thermal pictures that nobody here made, read as pairs: sizes, channels, 16 bits, missing partners.

TNO Image Fusion Dataset (A. Toet, figshare 1008029): 15 registered pairs of scenes, of sizes that differ.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from edgefer.bundle.manifest import ImageSpec, InputSpec  # noqa: E402
from edgefer.errors import DataError  # noqa: E402
from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402

INPUTS = (
    InputSpec(name="visible", role="visible", shape=(1, 3, 64, 96), image=ImageSpec(colour="rgb")),
    InputSpec(name="infrared", role="infrared", shape=(1, 1, 64, 96), image=ImageSpec(colour="grey", band="lwir")),
)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The pictures as DIR/visible/scene/NN.png and DIR/infrared/scene/NN.png, as copies that may be changed."""
    folder = os.environ.get("EDGEFER_TEST_DATA")
    source = Path(folder or "") / "tno_pairs"
    if folder is None or not source.is_dir():
        pytest.skip("EDGEFER_TEST_DATA names no folder with tno_pairs")
    for camera, role in (("vi", "visible"), ("ir", "infrared")):
        shutil.copytree(source / camera, tmp_path / role / "scene")
    return tmp_path


def test_every_pair_is_read_with_its_size_and_channels(pairs: Path) -> None:
    dataset = open_dataset(str(pairs))
    assert len(dataset) == 15
    assert dataset.labels == ("scene",)
    for index in range(len(dataset)):
        sample = dataset[index]
        for role in ("visible", "infrared"):
            raw = cv2.imread(str(pairs / role / f"{sample.name}.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(sample.images[role], raw)
        assert sample.images["visible"].shape[:2] == sample.images["infrared"].shape[:2]
    assert len({dataset[index].images["visible"].shape for index in range(15)}) > 5


def test_they_become_the_tensors_that_a_graph_takes(pairs: Path) -> None:
    feeds = list(Feeds(open_dataset(str(pairs)), INPUTS))
    assert len(feeds) == 15
    for tensors in feeds:
        assert tensors["visible"].shape == (1, 3, 64, 96)
        assert tensors["infrared"].shape == (1, 1, 64, 96)
        assert all(value.min() >= 0 and value.max() <= 1 and value.std() > 0.01 for value in tensors.values())


def test_sixteen_bits_and_one_channel_say_the_same_as_eight_and_three(pairs: Path) -> None:
    before = next(iter(Feeds(open_dataset(str(pairs)), INPUTS)))
    path = pairs / "infrared" / "scene" / "01.png"
    thermal = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(path), thermal.astype(np.uint16) * 257)
    sample = open_dataset(str(pairs))[0]
    assert sample.images["infrared"].dtype == np.uint16
    assert sample.images["infrared"].ndim == 2
    after = next(iter(Feeds(open_dataset(str(pairs)), INPUTS)))
    # Half a level for each of four roundings to 8 bits: grey, here or there, two steps of resizing.
    assert np.abs(after["infrared"] - before["infrared"]).max() <= 2.0 / 255
    np.testing.assert_array_equal(after["visible"], before["visible"])


@pytest.mark.parametrize(("role", "other"), [("visible", "infrared"), ("infrared", "visible")])
def test_a_missing_partner_is_named(pairs: Path, role: str, other: str) -> None:
    (pairs / role / "scene" / "07.png").unlink()
    with pytest.raises(DataError) as raised:
        open_dataset(str(pairs))
    assert f"{other}/scene/07.png has no partner in {role}/scene/" in raised.value.details


def test_a_truncated_picture_is_named(pairs: Path) -> None:
    path = pairs / "infrared" / "scene" / "03.png"
    path.write_bytes(path.read_bytes()[:2000])
    dataset = open_dataset(str(pairs))
    with pytest.raises(DataError, match=r"03\.png"):
        dataset[2]


def test_all_of_a_camera_missing(pairs: Path) -> None:
    shutil.rmtree(pairs / "infrared")
    with pytest.raises(DataError, match="no infrared/"):
        open_dataset(str(pairs))
