"""Who a synthetic person is: proportions, colours, hair and habits that stay from picture to picture.

Lengths are in half face widths, in a frame with the origin between eyes and mouth, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgefer_export.data.synthetic.streams import Purpose, choice, normal, stream, uniform

Colour = tuple[float, float, float]  # blue, green, red reflectance in 0..255

_LIGHT_SKIN: Colour = (165.0, 190.0, 232.0)
_DARK_SKIN: Colour = (52.0, 74.0, 112.0)
_HAIR_COLOURS: tuple[Colour, ...] = (
    (22.0, 22.0, 24.0),
    (28.0, 38.0, 56.0),
    (45.0, 72.0, 105.0),
    (95.0, 150.0, 190.0),
    (40.0, 70.0, 140.0),
    (165.0, 168.0, 172.0),
)
_IRIS_COLOURS: tuple[Colour, ...] = ((25.0, 45.0, 75.0), (120.0, 100.0, 70.0), (70.0, 100.0, 80.0), (20.0, 28.0, 40.0))


@dataclass(frozen=True)
class Identity:
    """One person. Numbers without a unit are lengths in half face widths or factors around 1."""

    skin: Colour
    hair: Colour
    iris: Colour
    lip_tint: float
    head_height: float
    jaw_width: float
    chin_width: float
    chin_length: float
    cheek_width: float
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_opening: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_darkness: float
    nose_width: float
    nose_length: float
    mouth_height: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    resting_corner: float
    hair_style: str
    hairline: float
    facial_hair: str
    wrinkles: float
    asymmetry: float
    temperature: float
    nose_cooling: float
    clothing: Colour


def draw_identity(seed: int, person: int) -> Identity:
    """The person with this number under this seed."""
    rng = stream(seed, Purpose.IDENTITY, person)
    melanin = float(rng.random())
    tone = normal(rng, 6.0)
    skin = _mix(_LIGHT_SKIN, _DARK_SKIN, melanin, tone)
    # Dark skin and fair hair seldom meet.
    shades = 3 if melanin > 0.55 else len(_HAIR_COLOURS)
    hair = _HAIR_COLOURS[int(rng.integers(0, shades))]
    style = choice(
        rng,
        (("short", 0.34), ("long", 0.24), ("fringe", 0.12), ("receding", 0.12), ("bald", 0.10), ("bun", 0.08)),
    )
    return Identity(
        skin=skin,
        hair=_mix(hair, hair, 0.0, normal(rng, 8.0)),
        iris=_IRIS_COLOURS[int(rng.integers(0, len(_IRIS_COLOURS)))],
        lip_tint=uniform(rng, 0.1, 0.75),
        head_height=1.0 + normal(rng, 0.05),
        jaw_width=0.80 + normal(rng, 0.055),
        chin_width=0.42 + normal(rng, 0.05),
        chin_length=1.22 + normal(rng, 0.06),
        cheek_width=1.0 + normal(rng, 0.035),
        eye_spacing=0.43 + normal(rng, 0.025),
        eye_height=-0.20 + normal(rng, 0.03),
        eye_width=0.215 + normal(rng, 0.018),
        eye_opening=0.098 + normal(rng, 0.010),
        eye_tilt=normal(rng, 0.08),
        brow_height=0.275 + normal(rng, 0.025),
        brow_thickness=0.065 + normal(rng, 0.015),
        brow_arch=0.06 + normal(rng, 0.018),
        brow_tilt=normal(rng, 0.015),
        brow_darkness=uniform(rng, 0.65, 1.0),
        nose_width=0.21 + normal(rng, 0.03),
        nose_length=0.34 + normal(rng, 0.03),
        mouth_height=0.68 + normal(rng, 0.025),
        mouth_width=0.37 + normal(rng, 0.028),
        upper_lip=0.065 + normal(rng, 0.016),
        lower_lip=0.090 + normal(rng, 0.018),
        resting_corner=normal(rng, 0.018),
        hair_style=style,
        hairline=-0.82 + normal(rng, 0.06),
        facial_hair=choice(
            rng, (("none", 0.66), ("stubble", 0.12), ("moustache", 0.06), ("goatee", 0.06), ("beard", 0.10))
        ),
        wrinkles=uniform(rng, 0.35, 1.0),
        asymmetry=normal(rng, 0.06),
        temperature=34.4 + normal(rng, 0.5),
        nose_cooling=uniform(rng, 0.5, 5.0),
        clothing=_clothing(rng),
    )


def _mix(first: Colour, second: Colour, share: float, shift: float) -> Colour:
    blue, green, red = (a + (b - a) * share + shift for a, b in zip(first, second, strict=True))
    return (max(blue, 8.0), max(green, 8.0), max(red, 8.0))


def _clothing(rng: np.random.Generator) -> Colour:
    blue, green, red = (float(v) for v in rng.uniform(20.0, 220.0, size=3))
    return (blue, green, red)
