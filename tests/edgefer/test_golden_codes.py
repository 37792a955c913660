"""Golden inputs are stored as codes that every machine decodes to the same floats."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.golden import decode, encode, golden_feeds
from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import BundleError
from edgefer.runtime.preprocess import Preprocessor

IMAGES = {
    "plain": ImageSpec(colour="rgb"),
    "normalised": ImageSpec(colour="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "signed": ImageSpec(colour="bgr", range=(-1.0, 1.0)),
    "letterbox": ImageSpec(colour="rgb", fit="letterbox", pad=(114, 0, 255), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1)),
    "levels": ImageSpec(colour="rgb", range=(0.0, 255.0), mean=(104.0, 117.0, 123.0)),
}


def image_input(image: ImageSpec | None, name: str = "visible") -> InputSpec:
    role: Any = "visible" if image is not None else "other"
    return InputSpec(name=name, role=role, shape=(1, 3, 4, 4), image=image)


@pytest.mark.parametrize("name", IMAGES)
def test_every_code_comes_back(name: str) -> None:
    spec = image_input(IMAGES[name])
    codes = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 3, 4, 4)
    tensors = decode(codes, spec)
    assert tensors.dtype == np.float32
    assert np.array_equal(encode(tensors, spec), codes)


def test_a_code_stands_for_its_value() -> None:
    codes = np.full((1, 3, 4, 4), 51, np.uint8)
    assert decode(codes, image_input(IMAGES["plain"]))[0, 0, 0, 0] == pytest.approx(0.2)
    assert decode(codes, image_input(IMAGES["signed"]))[0, 0, 0, 0] == pytest.approx(-0.6)
    normalised = decode(codes, image_input(IMAGES["normalised"]))[0, :, 0, 0]
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    assert normalised == pytest.approx((0.2 - means) / deviations)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_and_the_bars_beside_it_come_back_as_they_were(name: str) -> None:
    pytest.importorskip("cv2")
    spec = image_input(IMAGES[name])
    picture = np.random.default_rng(3).integers(0, 256, (2, 4, 3), dtype=np.uint8)
    tensor = Preprocessor(spec)(picture)
    np.testing.assert_allclose(decode(encode(tensor, spec), spec), tensor, rtol=1e-6, atol=1e-5)


def test_values_outside_the_range_become_its_ends() -> None:
    spec = image_input(IMAGES["plain"])
    stored = encode(np.array([-3.0, 7.0, 0.5] * 16, np.float32).reshape(1, 3, 4, 4), spec)
    assert set(stored.reshape(-1).tolist()) == {0, 255, 128}


def test_floats_stay_floats() -> None:
    tensors = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    other = image_input(None)
    assert encode(tensors, other) is tensors
    assert np.array_equal(decode(tensors, other), tensors)
    assert np.array_equal(decode(tensors, image_input(IMAGES["normalised"])), tensors)


@pytest.mark.parametrize(("dtype", "image"), [(np.int32, IMAGES["plain"]), (np.uint8, None), (np.float64, None)])
def test_what_cannot_be_decoded_is_named(dtype: type, image: ImageSpec | None) -> None:
    with pytest.raises(BundleError, match=r"golden input 'visible' has dtype"):
        decode(np.zeros((1, 3, 4, 4), dtype), image_input(image))


def test_feeds_are_those_of_the_inputs_asked_for() -> None:
    codes = np.zeros((2, 3, 4, 4), np.uint8)
    golden = SimpleNamespace(inputs={"visible": "golden/input-0.npy", "gone": "golden/input-1.npy"})
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(golden=golden), array=lambda member: codes)
    feeds = golden_feeds(bundle, (image_input(IMAGES["plain"]),))
    assert {name: array.shape for name, array in feeds.items()} == {"visible": (2, 3, 4, 4)}
    bundle.manifest.golden = None
    assert golden_feeds(bundle, (image_input(IMAGES["plain"]),)) == {}
