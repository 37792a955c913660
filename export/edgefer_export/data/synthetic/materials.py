"""What things look like in the two bands: one value of four channels per material (blue, green, red, infrared).

The infrared channel of `lwir` holds temperature, of `nir` reflectance at 850 to 940 nm, where skin is bright whatever
its colour, most cloth is bright and only the hair's structure remains. Values are 0..255.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgefer_export.data.synthetic.identity import Identity
from edgefer_export.data.synthetic.scene import Scene

Band = Literal["lwir", "nir"]
Paint = tuple[float, float, float, float]

COLDEST = 10.0
"""Degrees Celsius of value 0 in the temperature channel."""
STEPS_PER_DEGREE = 8.0


def temperature_value(celsius: float) -> float:
    """The value of a temperature in the temperature channel, clipped to what it holds (10 to 41.9 degrees)."""
    return min(255.0, max(0.0, (celsius - COLDEST) * STEPS_PER_DEGREE))


class Palette:
    """The paints of one picture. `paint[name]` is a material; `mix` lies between two of them."""

    def __init__(self, identity: Identity, scene: Scene, band: Band, rng: np.random.Generator) -> None:
        visible = _visible(identity, rng)
        infrared = _temperatures(identity, scene, rng) if band == "lwir" else _reflectances(identity, scene, rng)
        self.band = band
        self.paint: dict[str, Paint] = {name: (*visible[name], infrared[name]) for name in visible}

    def __getitem__(self, name: str) -> Paint:
        return self.paint[name]

    def mix(self, first: str, second: str, share: float, infrared_share: float | None = None) -> Paint:
        """`first` with `share` (0..1) of `second` in it; the infrared channel may have a share of its own."""
        a, b = self.paint[first], self.paint[second]
        s = min(1.0, max(0.0, share))
        t = s if infrared_share is None else min(1.0, max(0.0, infrared_share))
        return (
            a[0] + (b[0] - a[0]) * s,
            a[1] + (b[1] - a[1]) * s,
            a[2] + (b[2] - a[2]) * s,
            a[3] + (b[3] - a[3]) * t,
        )


def _scaled(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _visible(who: Identity, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    skin, hair = who.skin, who.hair
    brow = tuple(h * who.brow_darkness + s * 0.5 * (1 - who.brow_darkness) for h, s in zip(hair, skin, strict=True))
    brow = _scaled((brow[0], brow[1], brow[2]), 0.85)
    if min(brow) > 75:  # white and blond brows keep some pigment
        brow = _scaled((brow[0], brow[1], brow[2]), 0.65)
    lip = (
        skin[0] * (1 - 0.38 * who.lip_tint),
        skin[1] * (1 - 0.42 * who.lip_tint),
        skin[2] * (1 - 0.12 * who.lip_tint),
    )
    wall, seat, cloth, lens = (float(v) for v in rng.uniform((40, 15, 0, 0), (170, 90, 1, 1)))
    return {
        "background": (wall * 1.05, wall, wall * 0.95),
        "seat": (seat, seat, seat * 1.05),
        "window": (235.0, 225.0, 210.0),
        "clothing": who.clothing,
        "belt": (30.0, 30.0, 32.0),
        "skin": skin,
        "warm_skin": _scaled(skin, 1.06),
        "cool_skin": _scaled(skin, 0.97),
        "blush": (skin[0] * 0.95, skin[1] * 0.94, min(255.0, skin[2] * 1.01)),
        "socket": _scaled(skin, 0.86),
        "canthus": _scaled(skin, 0.88),
        "shade": _scaled(skin, 0.62),
        "neck": _scaled(skin, 0.8),
        "wrinkle": _scaled(skin, 0.5),
        "nose_tip": _scaled(skin, 1.07),
        "nostril": _scaled(skin, 0.3),
        "hair": hair,
        "brow": (brow[0], brow[1], brow[2]),
        "sclera": (225.0, 230.0, 235.0),
        "iris": who.iris,
        "pupil": (12.0, 12.0, 12.0),
        "glint": (250.0, 250.0, 250.0),
        "lash": _scaled(skin, 0.25),
        "lip": lip,
        "mouth": (18.0, 14.0, 45.0),
        "teeth": (215.0, 232.0, 238.0),
        "tongue": (95.0, 90.0, 185.0),
        "frame": (20.0 + 120 * lens**3, 20.0 + 110 * lens**3, 25.0 + 100 * lens**3),
        "tint": (28.0, 24.0, 22.0),
        "mask": (225.0, 215.0, 190.0) if cloth < 0.6 else (45.0, 42.0, 40.0),
        "knuckle": _scaled(skin, 0.72),
    }


def _temperatures(who: Identity, scene: Scene, rng: np.random.Generator) -> dict[str, float]:
    skin, ambient = who.temperature, scene.ambient
    wall, seat, window, cloth, frame, hair, mask = (float(v) for v in rng.uniform(-1.0, 1.0, size=7))
    # Cold cabins cool hair and nose more than forehead and eyes.
    chill = (29.0 - ambient) / 13.0
    hair_celsius = ambient + (0.55 + 0.1 * hair) * (skin - ambient)
    brow = skin - 1.5 - 0.6 * chill
    degrees = {
        "background": ambient + 1.5 * wall,
        "seat": ambient + 1.0 + 2.5 * seat,
        "window": ambient - 4.0 + 7.0 * window,
        "clothing": ambient + 0.45 * (skin - ambient) + 1.2 * cloth,
        "belt": ambient + 1.0,
        "skin": skin,
        "warm_skin": skin + 0.5,
        "cool_skin": skin - 0.4,
        "blush": skin - 0.5 - 0.3 * chill,
        "socket": skin + 0.15,
        "canthus": skin + 0.9,
        "shade": skin - 0.5,
        "neck": skin + 0.2,
        "wrinkle": skin + 0.8,
        "nose_tip": skin - who.nose_cooling * (0.6 + 0.6 * chill),
        "nostril": skin - 1.0,
        "hair": hair_celsius,
        "brow": brow,
        "sclera": skin - 1.3,
        "iris": skin - 1.3,
        "pupil": skin - 1.3,
        "glint": skin - 1.3,
        "lash": skin - 1.3,
        "lip": skin + 0.6,
        "mouth": skin + 1.5,
        "teeth": skin - 0.6,
        "tongue": skin + 1.4,
        "frame": ambient + 4.0 + 2.0 * frame,
        "tint": ambient + 3.0 + 2.0 * frame,
        "mask": 0.5 * (skin + ambient) + 1.5 * mask + 2.0,
        "knuckle": skin - 1.8,
    }
    return {name: temperature_value(celsius) for name, celsius in degrees.items()}


def _reflectances(who: Identity, scene: Scene, rng: np.random.Generator) -> dict[str, float]:
    wall, seat, window, cloth, frame, hair, mask = (float(v) for v in rng.uniform(0.0, 1.0, size=7))
    skin = 150.0 + 0.12 * (who.skin[2] - 160.0)
    strand = 55.0 + 55.0 * hair
    return {
        "background": 20.0 + 50.0 * wall,
        "seat": 25.0 + 60.0 * seat,
        "window": 15.0 + 220.0 * window * min(1.0, scene.illumination),
        "clothing": 60.0 + 130.0 * cloth,
        "belt": 60.0,
        "skin": skin,
        "warm_skin": 1.04 * skin,
        "cool_skin": 0.98 * skin,
        "blush": 0.99 * skin,
        "socket": 0.9 * skin,
        "canthus": 0.93 * skin,
        "shade": 0.8 * skin,
        "neck": 0.75 * skin,
        "wrinkle": 0.68 * skin,
        "nose_tip": 1.06 * skin,
        "nostril": 0.35 * skin,
        "hair": strand,
        "brow": 0.45 * strand + 0.38 * skin,
        "sclera": 175.0,
        "iris": 95.0,
        "pupil": 15.0,
        "glint": 250.0,
        "lash": 0.4 * skin,
        "lip": 0.94 * skin,
        "mouth": 40.0,
        "teeth": 190.0,
        "tongue": 110.0,
        "frame": 20.0 + 100.0 * frame,
        "tint": 0.8 * skin,
        "mask": 120.0 + 100.0 * mask,
        "knuckle": 0.75 * skin,
    }
