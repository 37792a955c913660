"""Several images pre-processed together: each as its preprocessor alone would make it, whatever the planes' origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime.preprocess import Preprocessor, tensors_of

cv2 = pytest.importorskip("cv2")


def preprocessor(name: str, channels: int, **image: Any) -> Preprocessor:
    return Preprocessor(InputSpec(name=name, role="visible", shape=(1, channels, 24, 32), image=ImageSpec(**image)))


def noise(*shape: int, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize("colour", ["bgr", "rgb"])
def test_each_is_as_it_would_be_alone(colour: Any) -> None:
    images = [
        (preprocessor("first", 3, colour="rgb", mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3)), noise(90, 70, 3)),
        (preprocessor("second", 3, colour="grey"), noise(48, 64, dtype=np.uint16)),
        (preprocessor("third", 1, colour="grey"), noise(24, 32, 3)),
    ]
    tensors = tensors_of(images, colour)
    assert len(tensors) == 3
    for (alone, image), tensor in zip(images, tensors, strict=True):
        np.testing.assert_array_equal(tensor, alone(image, colour=colour))
    assert tensors_of([]) == []


def test_the_image_that_is_none_is_named() -> None:
    first, second = preprocessor("first", 3, colour="rgb"), preprocessor("second", 1, colour="grey")
    images = [(first, noise(9, 9, 3)), (second, noise(9))]
    with pytest.raises(InputError, match="'second'"):
        tensors_of(images)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_of_a_crop_that_has_its_size_already(dtype: Any) -> None:
    frame = noise(60, 80, 3, dtype=dtype)
    crop = frame[11:35, 7:39]
    kept = crop.copy()
    made = preprocessor("crop", 3, colour="rgb", range=(0.0, 255.0 if dtype == np.uint8 else 65535.0))(crop)
    np.testing.assert_allclose(made[0], kept[..., ::-1].transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_array_equal(crop, kept)


@pytest.mark.parametrize("window", [(0, 65535), (0, 65534), (1, 65535)])
def test_the_widest_window_is_as_any_other(window: tuple[int, int]) -> None:
    image = np.array([[0, 1, 30000, 65534, 65535]], np.uint16)
    spec = InputSpec(name="x", role="infrared", shape=(1, 1, 1, 5), image=ImageSpec(colour="grey", window16=window))
    low, high = window
    expected = (np.clip(image.astype(np.float64), low, high) - low) / (high - low)
    np.testing.assert_allclose(Preprocessor(spec)(image)[0, 0], expected, rtol=2e-7)
