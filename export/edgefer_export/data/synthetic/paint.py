"""Drawing: projected curves and a palette become two registered pictures without light, noise or blur.

Every part is drawn once, in four channels (blue, green, red, infrared), with OpenCV's antialiased polygons, so the two
modalities agree to the fraction of a pixel. Only what the bands see differently (lenses, lamps in them) is drawn apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefer_export.data.synthetic.expression import Expression
from edgefer_export.data.synthetic.geometry import FIXED_POINT_BITS, FaceCurves, FixedPoints
from edgefer_export.data.synthetic.identity import Identity
from edgefer_export.data.synthetic.materials import Paint, Palette
from edgefer_export.data.synthetic.scene import Scene

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """Whom and what to draw."""

    identity: Identity
    expression: Expression
    scene: Scene


class Painter:
    """Draws one face. `canvas` is (side, side, 4) uint8."""

    def __init__(self, subject: Subject, face: FaceCurves, palette: Palette, side: int) -> None:
        self._who, self._face, self._scene = subject.identity, subject.expression, subject.scene
        self._mouth = face.mouth
        self._palette = palette
        self._curves: dict[str, FixedPoints] = face.project(side)
        self._pixel = side / 112.0
        self.canvas: Picture = np.empty((side, side, 4), np.uint8)

    def draw(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Draw everything: (side, side, 3) BGR and (side, side) infrared."""
        self._backdrop(rng)
        self._head()
        self._soften()
        self._relief()
        self._eyes()
        self._nose()
        self._beard()
        self._mouth_parts()
        self._brows()
        self._front_hair()
        visible = np.ascontiguousarray(self.canvas[..., :3])
        infrared = np.ascontiguousarray(self.canvas[..., 3])
        if self._scene.glasses != "none":
            self._glasses(visible, infrared)
        if self._scene.occlusion != "none":
            self._occlusion(visible, infrared)
        return visible, infrared

    def _fill(self, name: str, paint: Paint) -> None:
        cv2.fillPoly(self.canvas, [self._curves[name]], paint, cv2.LINE_AA, FIXED_POINT_BITS)

    def _stroke(self, name: str, paint: Paint, width: float = 1.0) -> None:
        thickness = max(1, round(width * self._pixel))
        cv2.polylines(self.canvas, [self._curves[name]], False, paint, thickness, cv2.LINE_AA, FIXED_POINT_BITS)

    def _backdrop(self, rng: np.random.Generator) -> None:
        side = self.canvas.shape[0]
        palette = self._palette
        self.canvas[:] = np.array(palette["background"])
        numbers = rng.random(12)
        if numbers[0] < 0.7:
            left = int((numbers[1] - 0.3) * side)
            top = int((numbers[2] * 0.5 - 0.2) * side)
            wide, high = int((0.3 + 0.5 * numbers[3]) * side), int((0.2 + 0.5 * numbers[4]) * side)
            share = 0.3 + 0.7 * float(numbers[5])
            cv2.rectangle(
                self.canvas, (left, top), (left + wide, top + high), palette.mix("background", "window", share), -1
            )
        if numbers[6] < 0.8:
            centre = (int((0.5 + 0.2 * (numbers[7] - 0.5)) * side), int(0.62 * side))
            axes = (int((0.36 + 0.14 * numbers[8]) * side), int((0.5 + 0.2 * numbers[9]) * side))
            cv2.ellipse(self.canvas, centre, axes, 0, 0, 360, palette["seat"], -1, cv2.LINE_AA)

    def _head(self) -> None:
        who, palette = self._who, self._palette
        if who.hair_style == "long":
            self._fill("hair_back", palette["hair"])
        if who.hair_style == "bun":
            self._fill("bun", palette["hair"])
        self._fill("neck", palette["neck"])
        self._fill("shoulders", palette["clothing"])
        if who.hair_style not in ("bald", "receding"):
            self._fill("head", palette["hair"])
        self._fill("left_ear", palette["cool_skin"])
        self._fill("right_ear", palette["cool_skin"])
        self._fill("face", palette["skin"])
        self._fill("forehead", palette["warm_skin"])
        for name in ("left", "right"):
            self._fill(f"{name}_cheek", palette["blush"])
            self._fill(f"{name}_socket", palette["socket"])
            self._fill(f"{name}_canthus", palette["canthus"])
        self._fill("chin_shade", palette["cool_skin"])
        self._fill("nose", palette.mix("skin", "nose_tip", 0.5))
        self._fill("nose_tip", palette["nose_tip"])

    def _soften(self) -> None:
        side = round(5 * self._pixel) | 1
        cv2.blur(self.canvas, (side, side), self.canvas)

    def _relief(self) -> None:
        unit, lined = self._face.unit, self._who.wrinkles
        smile = unit(12)
        fold = 0.18 * lined + 0.5 * smile + 0.45 * unit(10) + 0.5 * unit(9)
        self._wrinkle(("left_fold", "right_fold"), fold)
        self._wrinkle(("forehead0", "forehead1", "forehead2"), 0.1 * lined - 0.05 + 0.45 * (unit(1) + unit(2)) * lined)
        self._wrinkle(("left_furrow", "right_furrow"), 0.7 * unit(4) * lined)
        self._wrinkle(("bridge0", "bridge1"), 0.7 * unit(9))
        for k in range(3):
            self._wrinkle((f"left_crow{k}", f"right_crow{k}"), 0.6 * unit(6) * lined)
        self._wrinkle(("left_bag", "right_bag"), 0.12 * lined + 0.4 * unit(6) + 0.2 * unit(7))

    def _wrinkle(self, names: tuple[str, ...], strength: float) -> None:
        if strength > 0.06:
            paint = self._palette.mix("skin", "wrinkle", 0.9 * min(1.0, strength))
            for name in names:
                self._stroke(name, paint)

    def _eyes(self) -> None:
        palette = self._palette
        for name in ("left", "right"):
            self._stroke(f"{name}_crease", palette.mix("skin", "wrinkle", 0.5))
            self._fill(f"{name}_eye", palette["sclera"])
            self._fill(f"{name}_iris", palette["iris"])
            self._fill(f"{name}_pupil", palette["pupil"])
            self._stroke(f"{name}_lower_lid", palette.mix("skin", "lash", 0.45))
            self._stroke(f"{name}_lid", palette.mix("skin", "lash", 0.95), 1.4)

    def _nose(self) -> None:
        palette, scene = self._palette, self._scene
        shaded = "left" if scene.light_x > 0 else "right"
        self._stroke(f"{shaded}_ridge", palette.mix("skin", "shade", 0.3 + 0.5 * scene.contrast))
        for name in ("left", "right"):
            self._stroke(f"{name}_wing", palette.mix("skin", "shade", 0.7 + 0.3 * self._face.unit(9)))
            self._fill(f"{name}_nostril", palette["nostril"])

    def _beard(self) -> None:
        style, palette = self._who.facial_hair, self._palette
        if style == "stubble":
            self._fill("beard", palette.mix("skin", "hair", 0.25, 0.15))
        elif style == "beard":
            self._fill("beard", palette.mix("hair", "skin", 0.12, 0.35))
        elif style == "goatee":
            self._fill("goatee", palette.mix("hair", "skin", 0.15, 0.35))
        if style in ("beard", "moustache", "goatee"):
            self._fill("moustache", palette.mix("hair", "skin", 0.12, 0.35))

    def _mouth_parts(self) -> None:
        palette, unit = self._palette, self._face.unit
        self._fill("upper_lip", palette.mix("lip", "shade", 0.25))
        self._fill("lower_lip", palette["lip"])
        if self._mouth.gap > 0.03:
            self._fill("mouth_inside", palette["mouth"])
            if self._mouth.gap > 0.16:
                self._fill("tongue", palette["tongue"])
            self._fill("upper_teeth", palette["teeth"])
            if unit(16) > 0.2:
                self._fill("lower_teeth", palette["teeth"])
        else:
            self._stroke("mouth_line", palette.mix("lip", "mouth", 0.75))

    def _brows(self) -> None:
        for name in ("left_brow", "right_brow"):
            self._fill(name, self._palette["brow"])

    def _front_hair(self) -> None:
        if self._who.hair_style != "bald":
            self._fill("hair_front", self._palette["hair"])

    def _apart(self, picture: Picture, name: str, paint: Paint, width: float | None = None) -> None:
        colour = paint[:3] if picture.ndim == 3 else (paint[3],)
        points = [self._curves[name]]
        if width is None:
            cv2.fillPoly(picture, points, colour, cv2.LINE_AA, FIXED_POINT_BITS)
        else:
            thickness = max(1, round(width * self._pixel))
            closed = name.endswith("lens")
            cv2.polylines(picture, points, closed, colour, thickness, cv2.LINE_AA, FIXED_POINT_BITS)

    def _glasses(self, visible: Picture, infrared: Picture) -> None:
        palette, scene = self._palette, self._scene
        thick = 1.0 + scene.glasses_shape
        for side in ("left", "right"):
            if scene.glasses == "tinted":
                self._apart(visible, f"{side}_lens", palette["tint"])
            if palette.band == "lwir":
                self._apart(infrared, f"{side}_lens", palette["tint"])
            elif scene.gaze[1] > -0.2:
                self._apart(infrared, f"{side}_led", palette["glint"])
            if scene.glasses_shape > 0.7 and scene.illumination > 0.5:
                self._apart(visible, f"{side}_streak", palette.mix("skin", "glint", 0.5))
            for picture in (visible, infrared):
                self._apart(picture, f"{side}_lens", palette["frame"], thick)
                self._apart(picture, f"{side}_temple", palette["frame"], thick)
        for picture in (visible, infrared):
            self._apart(picture, "bridge", palette["frame"], thick)

    def _occlusion(self, visible: Picture, infrared: Picture) -> None:
        palette, kind = self._palette, self._scene.occlusion
        for picture in (visible, infrared):
            if kind == "hand":
                self._apart(picture, "wrist", palette["cool_skin"])
                self._apart(picture, "palm", palette["cool_skin"])
                for k in range(4):
                    self._apart(picture, f"finger{k}", palette["skin"])
                    self._apart(picture, f"finger{k}", palette["knuckle"], 1.0)
            elif kind == "mask":
                self._apart(picture, "left_strap", palette["mask"], 1.0)
                self._apart(picture, "right_strap", palette["mask"], 1.0)
                self._apart(picture, "mask", palette["mask"])
                for k in range(2):
                    self._apart(picture, f"pleat{k}", palette.mix("mask", "shade", 0.3), 1.0)
            else:
                self._apart(picture, "lock", palette["hair"])
