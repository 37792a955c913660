"""Where the parts of a face lie: curves in the face's frame from an identity and an expression, then projected.

The face is a shallow ellipsoid seen by a distant camera. Every curve is lifted to it, turned by yaw, pitch and roll and
projected; both modalities are drawn from the same projected curves, which is what registers them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefer_export.data.synthetic.curves import Points, band, between, closed_spline, ellipse, quadratic
from edgefer_export.data.synthetic.expression import Expression
from edgefer_export.data.synthetic.identity import Identity
from edgefer_export.data.synthetic.scene import Scene

FIXED_POINT_BITS = 4
"""Fractional bits of projected coordinates, as OpenCV's drawing functions take them (`shift`)."""

FixedPoints = npt.NDArray[np.int32]

_T = np.linspace(-1.0, 1.0, 17)
_ROUND = np.sqrt(1.0 - _T**2)
_LENS = (1.0 - _T**2) ** 0.7
_SQUARE = 1.0 - _T**4
_BOW = _LENS * (1.0 - 0.25 * np.exp(-((_T / 0.2) ** 2)))
_U = np.linspace(-1.0, 1.0, 11)
_UPPER_LID = (1.0 - _U**2) ** 0.6
_LOWER_LID = (1.0 - _U**2) ** 0.8
_BROW_TAPER = np.array([0.75, 1.0, 1.0, 0.95, 0.8, 0.6, 0.3])


@dataclass(frozen=True)
class Mouth:
    """Figures of the mouth that drawing needs beside its curves, in half face widths."""

    gap: float
    half_width: float
    centre: float


class FaceCurves:
    """Named curves of one face, first in the face's frame, then, after `project`, in fixed-point pixels."""

    def __init__(self, identity: Identity, expression: Expression, scene: Scene) -> None:
        self._identity, self._expression, self._scene = identity, expression, scene
        self._names: list[str] = []
        self._curves: list[Points] = []
        self._lifts: list[float] = []
        self.jaw = expression.unit(26) + 0.42 * scene.speech
        self._outline()
        for side, name in ((-1.0, "left"), (1.0, "right")):
            self._eye_and_brow(side, name)
        self._nose()
        self.mouth = self._mouth()
        self._folds()
        self._hair()

    def add(self, name: str, points: Points, lift: float | None = None) -> None:
        """Add a curve (K, 2). `lift` is its height above the ellipsoid in half widths; None puts it in the plane of
        the silhouette, which turning does not move."""
        self._names.append(name)
        self._curves.append(points)
        self._lifts.append(math.nan if lift is None else lift)

    def project(self, side: int) -> dict[str, FixedPoints]:
        """All curves as fixed-point pixels of a square picture with this side."""
        points = np.concatenate(self._curves)
        lengths = [len(curve) for curve in self._curves]
        lift = np.repeat(np.array(self._lifts), lengths)
        x, y = points[:, 0], points[:, 1]
        depth = 0.8 * np.sqrt(np.maximum(0.0, 1.0 - (x / 1.06) ** 2 - (y / 1.5) ** 2))
        z = np.where(np.isnan(lift), 0.0, depth + lift)
        scene = self._scene
        cos_yaw, sin_yaw = math.cos(scene.yaw), math.sin(scene.yaw)
        cos_pitch, sin_pitch = math.cos(scene.pitch), math.sin(scene.pitch)
        turned_x = np.where(np.isnan(lift), x, x * cos_yaw + z * sin_yaw)
        depth_y = np.where(np.isnan(lift), 0.0, z * cos_yaw - x * sin_yaw)
        turned_y = y * cos_pitch + depth_y * sin_pitch
        cos_roll, sin_roll = math.cos(scene.roll), math.sin(scene.roll)
        scale = scene.scale * side
        centre_x = (0.5 + scene.shift[0]) * side - 0.3 * scale * sin_yaw
        centre_y = (0.5 + scene.shift[1]) * side
        image = np.empty((len(points), 2))
        image[:, 0] = centre_x + scale * (turned_x * cos_roll - turned_y * sin_roll)
        image[:, 1] = centre_y + scale * (turned_x * sin_roll + turned_y * cos_roll)
        fixed = np.rint((image - 0.5) * (1 << FIXED_POINT_BITS)).astype(np.int32)
        parts = np.split(fixed, np.cumsum(lengths)[:-1])
        return dict(zip(self._names, parts, strict=True))

    def _unit(self, number: int, side: float = 0.0) -> float:
        return self._expression.unit(number) * (1.0 + self._identity.asymmetry * side)

    def _outline(self) -> None:
        who = self._identity
        drop = 0.24 * self.jaw
        top, cheek = -1.42 * who.head_height, who.cheek_width
        right = np.array(
            [
                (0.0, top),
                (0.52, top + 0.12),
                (0.88 * cheek, top + 0.5),
                (0.99 * cheek, -0.35),
                (0.96 * cheek, 0.15),
                (who.jaw_width + 0.06, 0.58 + 0.3 * drop),
                (who.chin_width + 0.14, 0.98 * who.chin_length - 0.14 + 0.8 * drop),
                (0.5 * who.chin_width, who.chin_length + drop),
            ]
        )
        left = right[1:][::-1] * (-1.0, 1.0)
        controls = np.concatenate([right, left])
        self.add("face", closed_spline(controls))
        self.add("head", closed_spline(controls * (1.07, 1.05) + (0.0, -0.05)))
        for side, name in ((-1.0, "left"), (1.0, "right")):
            self.add(f"{name}_ear", ellipse(side * 1.0 * cheek, 0.05, 0.12, 0.25, 12))
        width = 0.62 * who.jaw_width + 0.08
        self.add("neck", np.array([(-width, 0.7), (width, 0.7), (width + 0.1, 1.7), (-width - 0.1, 1.7)]))
        self.add(
            "shoulders", np.array([(-0.75, 1.45), (0.75, 1.45), (2.0, 1.75), (2.2, 3.2), (-2.2, 3.2), (-2.0, 1.75)])
        )
        self.add("forehead", ellipse(0.0, -0.75, 0.62, 0.35, 12), 0.0)
        self.add("chin_shade", ellipse(0.0, who.mouth_height + 0.2 + drop, 0.2, 0.05, 12), 0.0)

    def _eye_and_brow(self, side: float, name: str) -> None:
        who, unit = self._identity, self._unit
        x = side * (who.eye_spacing + who.eye_width * _U)
        opening = who.eye_opening
        upper = opening * (1 + 0.7 * unit(5, side) - 0.25 * unit(6, side) - 0.32 * unit(7, side))
        upper -= opening * (0.6 * unit(43, side) + 0.15 * unit(9))
        lower = 0.62 * opening * (1 - 0.8 * unit(6, side) - 0.5 * unit(7, side) - 0.4 * unit(9) + 0.2 * unit(5))
        if self._scene.blink:
            upper, lower = 0.08 * upper, 0.5 * lower
        upper, lower = max(upper, 0.012), max(lower, 0.006)
        tilt = who.eye_height - who.eye_tilt * who.eye_width * _U
        upper_y = tilt - upper * _UPPER_LID + 0.35 * opening * unit(43, side) * np.maximum(_U, 0) * _UPPER_LID
        lower_y = tilt + lower * _LOWER_LID
        upper_y = np.minimum(upper_y, lower_y)
        self.add(f"{name}_eye", between(x, upper_y, lower_y), 0.0)
        self.add(f"{name}_lid", np.stack([x, upper_y], 1), 0.0)
        self.add(f"{name}_lower_lid", np.stack([x, lower_y], 1), 0.0)
        self.add(f"{name}_crease", np.stack([x, upper_y - 0.05 - 0.02 * _UPPER_LID], 1), 0.0)
        self.add(f"{name}_socket", ellipse(side * who.eye_spacing, who.eye_height - 0.04, 0.3, 0.2, 12), 0.0)
        self.add(f"{name}_canthus", ellipse(side * (who.eye_spacing - 0.2), who.eye_height + 0.02, 0.09, 0.09, 8), 0.0)
        gaze_x = side * who.eye_spacing + 0.32 * who.eye_width * self._scene.gaze[0]
        gaze_y = who.eye_height - 0.01 + 0.025 * self._scene.gaze[1]
        for part, radius in (("iris", 0.108), ("pupil", 0.048)):
            disc = ellipse(gaze_x, gaze_y, radius, radius, 16)
            place = side * disc[:, 0]
            at = (place - who.eye_spacing) / who.eye_width
            disc[:, 1] = np.clip(disc[:, 1], np.interp(at, _U, upper_y), np.interp(at, _U, lower_y))
            self.add(f"{name}_{part}", disc, 0.0)
        self._brow(side, name)
        raised = unit(6, side)
        bag = who.eye_height + lower + 0.09 - 0.03 * raised
        self.add(
            f"{name}_bag",
            quadratic(
                (side * (who.eye_spacing - 0.2), bag - 0.04),
                (side * who.eye_spacing, bag + 0.03),
                (side * (who.eye_spacing + 0.22), bag - 0.07),
                7,
            ),
            0.0,
        )
        corner = (side * (who.eye_spacing + who.eye_width + 0.06), who.eye_height)
        for k, slope in enumerate((-0.07, 0.0, 0.07)):
            tip = (corner[0] + side * 0.14, corner[1] + 1.6 * slope)
            self.add(f"{name}_crow{k}", np.array([(corner[0], corner[1] + 0.4 * slope), tip]), 0.0)

    def _brow(self, side: float, name: str) -> None:
        who, unit = self._identity, self._unit
        base = who.eye_height - who.brow_height
        inner, outer, lowered, wrinkled = unit(1, side), unit(2, side), unit(4, side), unit(9, side)
        inner_y = base + who.brow_tilt + 0.01 - 0.185 * inner + 0.135 * lowered + 0.06 * wrinkled
        middle_y = base - who.brow_arch - 0.055 * inner - 0.135 * outer + 0.085 * lowered + 0.05 * wrinkled
        outer_y = base - who.brow_tilt + 0.035 + 0.03 * inner - 0.13 * outer + 0.005 * lowered
        centre = quadratic(
            (side * (0.175 - 0.065 * lowered), inner_y),
            (side * (who.eye_spacing - 0.02), middle_y),
            (side * (who.eye_spacing + 0.30), outer_y),
            7,
        )
        self.add(f"{name}_brow", band(centre, 0.5 * who.brow_thickness * _BROW_TAPER * 1.25), 0.0)

    def _nose(self) -> None:
        who = self._identity
        tip, half = who.nose_length, 0.5 * who.nose_width
        lifted = -0.05 * self._unit(9) - 0.02 * self._unit(10)
        self.add("nose_tip", ellipse(0.0, tip - 0.03, half * 0.75, 0.10, 12), 0.24)
        self.add("nose", ellipse(0.0, 0.5 * tip, half * 0.8, 0.55 * tip, 12), 0.18)
        for side, name in ((-1.0, "left"), (1.0, "right")):
            self.add(f"{name}_nostril", ellipse(side * half * 0.5, tip + 0.055 + lifted, 0.045, 0.024, 8), 0.14)
            flare = half * (1.0 + 0.12 * self._unit(9))
            wing = quadratic(
                (side * flare * 0.85, tip - 0.09 + lifted),
                (side * flare * 1.12, tip + 0.0 + lifted),
                (side * flare * 0.8, tip + 0.07 + lifted),
                5,
            )
            self.add(f"{name}_wing", wing, 0.08)
            ridge = quadratic((side * 0.10, -0.28), (side * 0.06, 0.0), (side * half * 0.55, tip - 0.10), 6)
            self.add(f"{name}_ridge", ridge, 0.14)

    def _mouth(self) -> Mouth:
        who, unit, speech = self._identity, self._unit, self._scene.speech
        half = who.mouth_width * (
            1 + 0.24 * unit(12) + 0.2 * unit(20) - 0.17 * unit(26) - 0.08 * unit(24) - 0.10 * speech
        )
        corner = who.resting_corner - 0.15 * unit(12) + 0.12 * unit(15) + 0.02 * unit(20) + 0.05 * self.jaw
        centre = who.mouth_height + 0.045 * unit(12) - 0.035 * unit(15) - 0.02 * unit(17) - 0.02 * unit(10)
        gap = 0.085 * unit(25) + 0.34 * unit(26) + 0.19 * speech
        x = half * _T
        line = centre + corner * np.abs(_T) ** 1.7 + corner * self._identity.asymmetry * _T
        square = min(1.0, unit(16) + 0.4 * unit(10) + 0.4 * unit(20))
        profile = square * _SQUARE + (1 - square) * _ROUND
        inner_upper = line - (0.25 * gap + 0.055 * unit(10) * min(1.0, unit(25) + 0.4)) * profile
        inner_lower = line + (0.75 * gap + 0.06 * unit(16)) * profile
        if gap <= 0.0:
            inner_upper = inner_lower = line
        thin = 1 - 0.6 * min(1.0, unit(24)) - 0.2 * unit(12) - 0.15 * unit(25)
        outer_upper = inner_upper - who.upper_lip * max(0.25, thin) * _BOW
        outer_lower = inner_lower + who.lower_lip * max(0.3, thin + 0.1 * unit(17)) * _LENS
        self.add("upper_lip", between(x, outer_upper, inner_upper), 0.06)
        self.add("lower_lip", between(x, inner_lower, outer_lower), 0.06)
        self.add("mouth_inside", between(x, inner_upper, inner_lower), 0.06)
        self.add("mouth_line", np.stack([x, 0.5 * (inner_upper + inner_lower)], 1), 0.06)
        room = inner_lower - inner_upper
        self.add("upper_teeth", between(0.93 * x, inner_upper, inner_upper + np.minimum(room, 0.085 * profile)), 0.06)
        self.add("lower_teeth", between(0.85 * x, inner_lower - np.minimum(room, 0.06 * profile), inner_lower), 0.06)
        self.add("tongue", ellipse(0.0, centre + 0.62 * gap, 0.5 * half, 0.22 * gap + 1e-3, 12), 0.06)
        self.add(
            "moustache", band(np.stack([1.02 * x, outer_upper - 0.045 + 0.05 * _T**2], 1), 0.055 * _BOW + 0.01), 0.08
        )
        lowest = who.chin_length + 0.24 * self.jaw
        self.add(
            "goatee",
            between(0.75 * who.chin_width * _T, np.maximum(outer_lower + 0.04, 0.9), lowest - 0.02 + 0 * _T),
            0.0,
        )
        self.add("beard", self._beard(outer_lower, outer_upper))
        return Mouth(gap=gap, half_width=half, centre=centre)

    def _beard(self, outer_lower: Points, outer_upper: Points) -> Points:
        who = self._identity
        drop = 0.24 * self.jaw
        edge = np.array(
            [
                (-0.93 * who.cheek_width, 0.15),
                (-who.jaw_width - 0.02, 0.58 + 0.3 * drop),
                (-who.chin_width - 0.12, 0.98 * who.chin_length - 0.12 + 0.8 * drop),
                (0.0, who.chin_length + 0.03 + drop),
                (who.chin_width + 0.12, 0.98 * who.chin_length - 0.12 + 0.8 * drop),
                (who.jaw_width + 0.02, 0.58 + 0.3 * drop),
                (0.93 * who.cheek_width, 0.15),
                (0.8 * who.jaw_width, 0.55),
                (0.45, who.mouth_height - 0.02),
                (0.0, float(outer_lower.max()) + 0.05),
                (-0.45, who.mouth_height - 0.02),
                (-0.8 * who.jaw_width, 0.55),
            ]
        )
        return closed_spline(edge, 3)

    def _folds(self) -> None:
        who, mouth = self._identity, self.mouth
        for side, name in ((-1.0, "left"), (1.0, "right")):
            puffed = self._unit(12, side)
            fold = quadratic(
                (side * (0.55 * who.nose_width + 0.03), who.nose_length - 0.02 - 0.04 * self._unit(9)),
                (side * (0.30 + 0.08 * puffed), 0.5 * (who.nose_length + mouth.centre) - 0.03),
                (side * (mouth.half_width + 0.09), mouth.centre + 0.04 - 0.05 * puffed),
                7,
            )
            self.add(f"{name}_fold", fold, 0.02)
            self.add(f"{name}_cheek", ellipse(side * 0.55, 0.25 - 0.06 * self._unit(6), 0.24, 0.17, 12), 0.02)
            furrow = np.array([(side * 0.055, who.eye_height - 0.32), (side * 0.07, who.eye_height - 0.12)])
            self.add(f"{name}_furrow", furrow, 0.04)
        for k in range(3):
            y = -0.66 - 0.11 * k
            line = quadratic((-0.45, y + 0.02), (0.0, y - 0.02), (0.45, y + 0.02), 7)
            self.add(f"forehead{k}", line, 0.0)
        for k in range(2):
            y = who.eye_height + 0.06 + 0.08 * k
            self.add(f"bridge{k}", quadratic((-0.11, y + 0.03), (0.0, y - 0.01), (0.11, y + 0.03), 5), 0.16)

    def _hair(self) -> None:
        who = self._identity
        top, line = -1.5 * who.head_height, who.hairline
        if who.hair_style == "receding":
            line -= 0.25
        side_y = -0.15 if who.hair_style in ("short", "receding", "bun") else 0.3
        inner = [(0.90, side_y), (0.84, -0.55), (0.55, line + 0.05), (0.0, line)]
        if who.hair_style == "fringe":
            inner = [(0.90, side_y), (0.86, -0.50), (0.5, line + 0.20), (0.0, line + 0.16)]
        right = np.array(
            [(0.0, top - 0.05), (0.62, top + 0.08), (1.02, top + 0.52), (1.08, -0.35), (1.02, side_y), *inner]
        )
        left = right[1:-1][::-1] * (-1.0, 1.0)
        self.add("hair_front", closed_spline(np.concatenate([right, left])))
        long = np.array([(0.0, top - 0.1), (0.8, top + 0.15), (1.2, -0.4), (1.22, 0.7), (1.3, 1.7), (0.7, 1.75)])
        self.add("hair_back", closed_spline(np.concatenate([long, long[1:][::-1] * (-1.0, 1.0)])))
        self.add("bun", ellipse(0.0, top - 0.12, 0.42, 0.3, 14))
