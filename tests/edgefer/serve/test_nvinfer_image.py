"""What of a camera's pre-processing nvinfer can be told, and what it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import ExportError
from edgefer.runtime.preprocess import Preprocessor
from edgefer.serve.nvinfer_image import image_keys, image_notes


def spec_of(channels: int = 3, **image: Any) -> tuple[InputSpec, ImageSpec]:
    said = ImageSpec(**{"colour": "rgb" if channels == 3 else "grey", **image})
    return InputSpec(name="image", role="visible", shape=(1, channels, 8, 6), image=said), said


@pytest.mark.parametrize(
    ("channels", "image"),
    [
        (3, {}),
        (1, {}),
        (3, {"colour": "bgr"}),
        (3, {"range": (0.0, 255.0)}),
        (3, {"range": (-1.0, 1.0)}),
        (3, {"range": (0.0, 255.0), "mean": (123.675, 116.28, 103.53), "std": (58.0, 58.0, 58.0)}),
        (3, {"mean": (0.485, 0.456, 0.406), "std": (0.225, 0.225, 0.225)}),
        (1, {"mean": (0.5,), "std": (0.25,)}),
    ],
    ids=str,
)
def test_factor_and_offsets_give_the_tensor_of_a_session(channels: int, image: dict[str, Any]) -> None:
    pytest.importorskip("cv2")
    spec, said = spec_of(channels, **image)
    keys = image_keys(spec, said)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, channels), np.uint8)
    if channels == 3:
        order = {"0": "rgb", "1": "bgr"}[keys["model-color-format"]]
        expected = Preprocessor(spec)(pixels, colour=order)  # type: ignore[arg-type]
    else:
        assert keys["model-color-format"] == "2"
        expected = Preprocessor(spec)(pixels)
    # nvinfer's own formula: y = net-scale-factor * (x - offset), by channel, in planes.
    offsets = np.array([float(each) for each in keys["offsets"].split(";")])
    computed = float(keys["net-scale-factor"]) * (pixels.astype(np.float64) - offsets)
    np.testing.assert_allclose(computed.transpose(2, 0, 1)[None], expected, rtol=1e-5, atol=1e-5)
    assert len(offsets) == channels
    assert (offsets >= 0).all()


def test_sizes_are_channels_height_width() -> None:
    assert image_keys(*spec_of())["infer-dims"] == "3;8;6"


@pytest.mark.parametrize(
    ("image", "aspect", "symmetric"),
    [
        ({}, "0", "0"),
        ({"fit": "letterbox"}, "1", "1"),
        ({"fit": "letterbox", "align": "top-left"}, "1", "0"),
        ({"align": "centre"}, "0", "0"),
    ],
    ids=str,
)
def test_a_letterbox_keeps_the_aspect(image: dict[str, Any], aspect: str, symmetric: str) -> None:
    keys = image_keys(*spec_of(**image))
    assert (keys["maintain-aspect-ratio"], keys["symmetric-padding"]) == (aspect, symmetric)


@pytest.mark.parametrize(
    ("channels", "image", "field"),
    [
        (3, {"crop": (0.0, 0.1, 1.0, 1.0)}, "`crop`"),
        (3, {"fit": "centre-crop"}, "`fit`"),
        (3, {"fit": "letterbox", "pad": (114,)}, "`pad`"),
        (3, {"equalise": "clahe"}, "`equalise`"),
        (1, {"equalise": "histogram"}, "`equalise`"),
        (1, {"window16": (7000, 9000)}, "`window16`"),
        (3, {"colour": "grey"}, "`colour`"),
        (1, {"grey": "average"}, "`grey`"),
        (3, {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, "`std`"),
        (3, {"mean": (-0.5, 0.0, 0.0)}, "`mean`"),
        (3, {"range": (0.5, 1.0), "mean": (0.0, 0.0, 0.0)}, "`range`"),
    ],
    ids=str,
)
def test_what_nvinfer_cannot_do_is_refused_by_its_name(channels: int, image: dict[str, Any], field: str) -> None:
    with pytest.raises(ExportError, match=field) as caught:
        image_keys(*spec_of(channels, **image))
    assert caught.value.hint


def test_channels_of_their_own_deviation_are_to_be_normalised_in_the_graph() -> None:
    with pytest.raises(ExportError) as caught:
        image_keys(*spec_of(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)))
    assert "inside its graph" in caught.value.hint


def test_every_fault_is_told() -> None:
    with pytest.raises(ExportError) as caught:
        image_keys(*spec_of(equalise="clahe", fit="centre-crop", std=(1.0, 1.0, 2.0)))
    assert all(field in str(caught.value) for field in ("`fit`", "`equalise`", "`std`"))


@pytest.mark.parametrize(
    ("resize", "number", "noted"), [("nearest", "0", False), ("bilinear", "1", False), ("area-bilinear", "1", True)]
)
def test_a_rule_of_resizing_that_differs_is_noted(resize: Any, number: str, noted: bool) -> None:
    spec, said = spec_of(resize=resize)
    assert image_keys(spec, said)["scaling-filter"] == number
    assert any(resize in note for note in image_notes(said)) == noted


def test_grey_from_the_luma_is_noted() -> None:
    assert any("luma" in note for note in image_notes(spec_of(1)[1]))
