"""Saliency maps: the part within the letterbox, resizing to the crop, and moving with the box of a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import InputError
from edgefer.runtime.saliency_map import FULL, Line, MapMaker, SaliencyMap, face_box

LETTERBOX = ImageSpec(colour="bgr", fit="letterbox")


def maker(answer: Any, shape: tuple[int, int] = (64, 64), image: ImageSpec = LETTERBOX) -> MapMaker:
    """A maker whose graph answers `answer`, or `answer(tensor)`."""

    def run(feeds: Any) -> dict[str, Any]:
        found = answer(feeds["image"]) if callable(answer) else answer
        return {"saliency": np.asarray(found, np.float32)}

    return MapMaker(InputSpec(name="image", role="visible", shape=(1, 3, *shape), image=image), "saliency", run)


def bilinear(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`values` at positions of pixel centres, in float64 and one by one; beyond the border its values go on."""
    found = np.empty((len(rows), len(columns)))
    for i, y in enumerate(np.clip(rows - 0.5, 0, values.shape[0] - 1)):
        for j, x in enumerate(np.clip(columns - 0.5, 0, values.shape[1] - 1)):
            top, left = int(y), int(x)
            bottom, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
            upper = values[top, left] * (1 - (x - left)) + values[top, right] * (x - left)
            lower = values[bottom, left] * (1 - (x - left)) + values[bottom, right] * (x - left)
            found[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    return found


def test_a_map_is_resized_to_the_image_and_divided_by_its_maximum() -> None:
    values = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    found = maker(values[None, None])(np.zeros((40, 40, 3), np.uint8))
    assert found.values.max() == 1
    codes = found.on((0, 0, 40, 40), (0, 0, 40, 40))
    centres = (np.arange(40) + 0.5) * 8 / 40
    expected = bilinear(values.astype(np.float64) / values.max(), centres, centres)
    # Half a code, and float32 products of values up to 1.
    np.testing.assert_allclose(codes / FULL, expected, atol=0.6 / FULL + 1e-6)


def test_the_bars_of_a_letterbox_are_no_part_of_the_map() -> None:
    # 32x64 in 64x64: bars of 16 pixels above and below, two cells each; what is said of them does not count.
    values = np.full((8, 8), 0.9, np.float32)
    values[2:6] = np.linspace(0.1, 0.5, 32).reshape(4, 8)
    found = maker(values[None, None])(np.zeros((32, 64, 3), np.uint8))
    assert found.values.shape == (4, 8)
    np.testing.assert_allclose(found.values, values[2:6] / 0.5, rtol=1e-6)
    codes = found.on((0, 0, 64, 32), (0, 0, 64, 32))
    centres = (np.arange(64) + 0.5) / 8
    np.testing.assert_allclose(codes / FULL, bilinear(values[2:6] / 0.5, centres[:32], centres), atol=0.6 / FULL + 1e-6)


@pytest.mark.parametrize("answer", [np.zeros((1, 1, 8, 8)), np.full((1, 1, 8, 8), -3.0), np.full((1, 1, 8, 8), 1e-9)])
def test_an_empty_map_stays_empty(answer: np.ndarray) -> None:
    found = maker(answer)(np.zeros((16, 16, 3), np.uint8))
    assert not found.values.any()
    assert not found.on((0, 0, 16, 16), (0, 0, 16, 16)).any()


def test_the_crop_is_what_the_graph_sees() -> None:
    seen = []

    def answer(tensor: np.ndarray) -> np.ndarray:
        seen.append(tensor)
        return np.ones((1, 1, 8, 8))

    image = np.random.default_rng(1).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    maker(answer)(image, face=(10, 20, 74, 84), crop=(10, 20, 74, 84))
    maker(answer)(np.ascontiguousarray(image[20:84, 10:74]))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].max() <= 1


def test_a_map_moves_exactly_with_its_box() -> None:
    values = np.random.default_rng(2).random((1, 1, 8, 8))
    face = (30, 20, 94, 84)
    found = maker(values)(np.zeros((200, 200, 3), np.uint8), face=face, crop=face)
    before = found.on(face, face)
    moved = (30 + 17, 20 - 9, 94 + 17, 84 - 9)
    assert np.array_equal(found.on(moved, moved), before)
    # Of the part that is within the frame, the same part of the map.
    leaving = (-14, 20, 50, 84)
    assert np.array_equal(found.on(leaving, (0, 20, 50, 84)), before[:, 14:])


def test_a_map_stretches_with_its_box() -> None:
    values = np.random.default_rng(3).random((8, 8)).astype(np.float32)
    face = (0, 0, 64, 64)
    found = maker(values[None, None])(np.zeros((64, 64, 3), np.uint8), face=face, crop=face)
    larger = (10, 10, 10 + 128, 10 + 96)
    codes = found.on(larger, larger)
    expected = bilinear(
        values.astype(np.float64) / values.max(), (np.arange(96) + 0.5) * 8 / 96, (np.arange(128) + 0.5) * 8 / 128
    )
    np.testing.assert_allclose(codes / FULL, expected, atol=0.6 / FULL + 1e-6)


def test_a_face_that_was_cut_off_keeps_its_place_in_the_map() -> None:
    # The map was made of the right half of a face, 32x64; where the left half appears, the border's values go on.
    values = np.random.default_rng(4).random((8, 8)).astype(np.float32)
    found = maker(values[None, None], image=ImageSpec(colour="bgr"))(
        np.zeros((64, 64, 3), np.uint8), face=(-32, 0, 32, 64), crop=(0, 0, 32, 64)
    )
    codes = found.on((0, 0, 64, 64), (0, 0, 64, 64))
    expected = bilinear(
        values.astype(np.float64) / values.max(), (np.arange(64) + 0.5) / 8, (np.arange(64) + 0.5 - 32) / 4
    )
    np.testing.assert_allclose(codes / FULL, expected, atol=0.6 / FULL + 1e-6)
    assert (codes[:, :32] == codes[:, :1]).all()


def test_lines_follow_each_other() -> None:
    assert Line(2.0, 3.0).then(5.0, -1.0) == Line(10.0, 14.0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.full((1, 1, 8, 8), np.nan), "not finite"),
        (np.ones((1, 2, 8, 8)), r"shape \(1, 2, 8, 8\)"),
        (np.ones((1, 8)), r"shape \(1, 8\)"),
    ],
)
def test_an_answer_that_is_no_map_is_refused(answer: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        maker(answer)(np.zeros((16, 16, 3), np.uint8))


def test_a_box_is_rounded_and_clipped() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    assert face_box((9.6, -5.2, 50, 60.5), image) == ((10, -5, 60, 56), (10, 0, 60, 56))
    assert face_box(None, image) == ((0, 0, 200, 100), (0, 0, 200, 100))


@pytest.mark.parametrize(
    "box",
    [(200, 0, 10, 10), (0, 0, 0, 10), (0, 0, 10, -1), (0, 0, 10), (0, 0, float("nan"), 10), ("a", 0, 1, 1), 5],
)
def test_a_box_that_holds_no_pixel_is_refused(box: Any) -> None:
    with pytest.raises(InputError, match="the box of the face"):
        face_box(box, np.zeros((100, 200, 3), np.uint8))


def test_codes_are_of_the_type_that_images_have() -> None:
    found = SaliencyMap(np.ones((2, 2), np.float32), (0, 0, 4, 4), Line(0.5, 0), Line(0.5, 0))
    codes = found.on((0, 0, 4, 4), (0, 0, 4, 4))
    assert codes.dtype == np.uint16
    assert (codes == FULL).all()
