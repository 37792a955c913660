"""What the pictures show: conditions independent of the label, registration, and what each band sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cv2")

import cv2

from edgefer_export.data.synthetic import VIRI_LABELS, Conditions, SyntheticPairs
from edgefer_export.data.synthetic.accessories import add_glasses
from edgefer_export.data.synthetic.expression import Expression, draw_expression
from edgefer_export.data.synthetic.geometry import FaceCurves
from edgefer_export.data.synthetic.identity import draw_identity
from edgefer_export.data.synthetic.materials import Palette
from edgefer_export.data.synthetic.paint import Painter, Subject
from edgefer_export.data.synthetic.scene import Scene, draw_scene
from edgefer_export.data.synthetic.sensor import active_camera, thermal_8bit, thermal_camera, visible_camera

# Chi-square quantiles for p = 0.001 at 4 degrees of freedom per column beyond the first.
_CHI_SQUARE_0_001 = {4: 18.47, 8: 26.12, 12: 32.91}


@pytest.fixture(scope="module")
def listed() -> tuple[np.ndarray, list[Conditions]]:
    pairs = SyntheticPairs(4000, 77)
    return np.array([pairs.label(i) for i in range(4000)]), [pairs.conditions(i) for i in range(4000)]


@pytest.mark.parametrize(
    "condition",
    [
        lambda c: c.lighting,
        lambda c: c.glasses,
        lambda c: c.occlusion,
        lambda c: c.talking,
        lambda c: c.blink,
        lambda c: int(np.digitize(c.yaw, (-0.1, 0.0, 0.1))),
        lambda c: int(np.digitize(c.intensity, (0.8, 0.9, 1.0))),
        lambda c: c.illumination > 0.8,
    ],
    ids=["lighting", "glasses", "occlusion", "talking", "blink", "yaw", "intensity", "illumination"],
)
def test_conditions_do_not_depend_on_the_label(
    listed: tuple[np.ndarray, list[Conditions]], condition: Callable[[Conditions], object]
) -> None:
    labels, conditions = listed
    names, values = np.unique([str(condition(c)) for c in conditions], return_inverse=True)
    table = np.zeros((len(VIRI_LABELS), len(names)))
    np.add.at(table, (labels, values), 1)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    assert statistic < _CHI_SQUARE_0_001[(len(VIRI_LABELS) - 1) * (len(names) - 1)]


def test_shares_of_conditions(listed: tuple[np.ndarray, list[Conditions]]) -> None:
    _, conditions = listed
    assert 0.22 < np.mean([c.night for c in conditions]) < 0.34
    assert 0.60 < np.mean([c.day for c in conditions]) < 0.72
    assert 0.20 < np.mean([c.wears_glasses for c in conditions]) < 0.30
    assert 0.08 < np.mean([c.occluded for c in conditions]) < 0.16


def _plain_scene(**changes: object) -> Scene:
    scene = draw_scene(1, 0)
    plain = {
        "yaw": 0.0,
        "pitch": 0.0,
        "roll": 0.0,
        "scale": 0.36,
        "shift": (0.0, 0.0),
        "lighting": "day",
        "illumination": 1.0,
        "contrast": 0.2,
        "shadow": 1.0,
        "glasses": "none",
        "occlusion": "none",
        "speech": 0.0,
        "blink": False,
        "ambient": 20.0,
    }
    return replace(scene, **{**plain, **changes})  # type: ignore[arg-type]


def _curves(label: str, scene: Scene, person: int = 3) -> dict[str, np.ndarray]:
    expression = draw_expression(1, 0, label)
    curves = FaceCurves(draw_identity(1, person), expression, scene)
    add_glasses(curves, draw_identity(1, person), scene)
    return {name: points / 16.0 for name, points in curves.project(112).items()}


def _draw(label: str, scene: Scene, band: str = "lwir") -> tuple[np.ndarray, np.ndarray]:
    identity = draw_identity(1, 3)
    subject = Subject(identity, draw_expression(1, 0, label), scene)
    rng = np.random.default_rng(0)
    curves = FaceCurves(identity, subject.expression, scene)
    add_glasses(curves, identity, scene)
    palette = Palette(identity, scene, band, rng)  # type: ignore[arg-type]
    return Painter(subject, curves, palette, 112).draw(rng)


def test_action_units_move_the_face_as_they_should() -> None:
    faces = {label: _curves(label, _plain_scene()) for label in VIRI_LABELS}

    def brow_inner(name: str) -> float:
        return float(faces[name]["left_brow"][0, 1])

    def brow_outer(name: str) -> float:
        return float(faces[name]["left_brow"][6, 1])

    assert brow_inner("angry") > brow_inner("neutral") + 1.5
    assert brow_inner("sad") < brow_inner("neutral") - 1.5
    assert brow_inner("surprise") < brow_inner("neutral") - 1.5
    assert brow_outer("surprise") < brow_outer("neutral") - 1.5
    assert abs(brow_outer("sad") - brow_outer("neutral")) < 2.5

    def corners_over_centre(name: str) -> float:
        line = faces[name]["mouth_line"]
        return float(line[8, 1] - 0.5 * (line[0, 1] + line[-1, 1]))

    assert corners_over_centre("happy") > corners_over_centre("neutral") + 2.0


@pytest.mark.parametrize(("name", "other"), [("anger", "angry"), ("happy", "happiness"), ("sad", "sadness")])
def test_an_expression_is_the_same_under_other_names(name: str, other: str) -> None:
    assert draw_expression(1, 5, other) == draw_expression(1, 5, name)


def test_intensity_scales_the_expression() -> None:
    weak, strong = (draw_expression(1, 5, "angry", strength).unit(4) for strength in (0.3, 1.0))
    assert 0.0 < weak < 0.5 * strong


def test_both_modalities_are_drawn_at_the_same_place() -> None:
    # Outlines of the head, found in each picture alone, must coincide.
    for i in range(4):
        scene = _plain_scene(yaw=0.1 * i, roll=0.05 * i, shift=(0.02 * i, 0.01 * i), ambient=16.0)
        visible, infrared = _draw("neutral", scene)
        edges = []
        for picture in (cv2.cvtColor(visible, cv2.COLOR_BGR2GRAY), infrared):
            smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.0)
            gradient = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
            gradient = gradient[10:100, 10:100]
            edges.append(gradient / gradient.max())
        shift, response = cv2.phaseCorrelate(*(np.ascontiguousarray(e) for e in edges))
        assert max(abs(shift[0]), abs(shift[1])) < 1.0, (shift, response)


def _eye_contrast(picture: np.ndarray, scene: Scene) -> float:
    centre = _curves("neutral", scene)["left_lens"].mean(axis=0)
    x, y = int(centre[0]), int(centre[1])
    patch = picture[y - 4 : y + 5, x - 5 : x + 6].astype(float)
    return float(patch.std())


def test_glasses_are_opaque_in_long_wave_and_not_in_near_infrared() -> None:
    worn = _plain_scene(glasses="clear", glasses_shape=0.4, glasses_size=1.0)
    bare = _plain_scene()
    for band, opaque in (("lwir", True), ("nir", False)):
        with_glasses, without = _draw("neutral", worn, band)[1], _draw("neutral", bare, band)[1]
        kept = _eye_contrast(with_glasses, worn) / _eye_contrast(without, worn)
        assert (kept < 0.3) == opaque, (band, kept)
    visible = _draw("neutral", worn)[0]
    assert _eye_contrast(visible, worn) > 10.0


def test_glasses_glint_in_near_infrared() -> None:
    worn = _plain_scene(glasses="clear", gaze=(0.0, 0.0))
    assert _draw("neutral", worn, "nir")[1].max() > 240
    assert _draw("neutral", worn, "lwir")[1].max() < 250


def test_night_darkens_the_visible_picture_only() -> None:
    day, night = _plain_scene(), _plain_scene(lighting="night", illumination=0.01)
    reflectance, temperature = _draw("happy", day)
    by_day, by_night = (visible_camera(reflectance, s, np.random.default_rng(1)) for s in (day, night))
    assert by_night.mean() < 0.2 * by_day.mean()
    signal = by_night.astype(float) - cv2.blur(by_night, (5, 5))
    assert signal.std() > 0.15 * by_night.mean(), "night pictures are noisy"
    warm = [thermal_8bit(thermal_camera(temperature, s, np.random.default_rng(1)), s) for s in (day, night)]
    assert np.array_equal(warm[0], warm[1])
    near = _draw("happy", day, "nir")[1]
    lit = [active_camera(near, s, np.random.default_rng(1)) for s in (day, night)]
    assert np.array_equal(lit[0], lit[1])


def test_noise_differs_between_bands_and_pictures() -> None:
    pairs = SyntheticPairs(2, 3)
    assert not np.array_equal(pairs[0].images["visible"], pairs[1].images["visible"])


def test_long_wave_detail_is_weaker_than_visible_detail() -> None:
    pairs = SyntheticPairs(60, 21)
    detail: dict[str, list[float]] = {"visible": [], "infrared": []}
    for i in range(60):
        if pairs.conditions(i).day and not pairs.conditions(i).wears_glasses:
            images = pairs[i].images
            for role, picture in (("visible", images["visible"][..., 1]), ("infrared", images["infrared"])):
                face = picture[30:85, 30:82].astype(np.float32)
                detail[role].append(float(np.abs(cv2.Laplacian(face, cv2.CV_32F)).mean()))
    assert np.mean(detail["infrared"]) < 0.6 * np.mean(detail["visible"])


def test_mouth_box_holds_the_mouth() -> None:
    pairs = SyntheticPairs(20, 13)
    for i in range(20):
        top, left, bottom, right = pairs.mouth_box(i)
        assert bottom - top == right - left
        assert 20 < bottom - top < 80
        assert 30 < (top + bottom) / 2 < 112


def test_expression_at_rest_has_no_units() -> None:
    assert Expression(0.0).unit(12) == 0.0
