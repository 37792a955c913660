"""All that varies from picture to picture and says nothing about the label: pose, light, glasses, occlusion."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer_export.data.synthetic.streams import Purpose, choice, log_uniform, normal, stream, uniform

LIGHTINGS = (("day", 0.66), ("dusk", 0.06), ("night", 0.28))
"""Shares of the lightings."""
GLASSES = (("none", 0.75), ("clear", 0.20), ("tinted", 0.05))
"""Shares of glasses; all of them are opaque in long-wave infrared."""
OCCLUSIONS = (("none", 0.88), ("hand", 0.05), ("mask", 0.03), ("hair", 0.04))
"""Shares of occlusions."""


@dataclass(frozen=True)
class Scene:
    """Circumstances of one picture.

    `yaw`, `pitch`, `roll` in radians; `scale` is the half face width and `shift` the place of the face's origin, both
    as shares of the picture's side, `shift` from its centre. `illumination` is 1 for a well-lit cabin. `light_x` and
    `light_y` point to the lamp, `contrast` is how directed its light is. `ambient` is in degrees Celsius. `speech` is
    how far the mouth is open for talking, `gaze` where the pupils are (both in -1..1). `blur` and `noise` are in units
    of the sensors' usual.
    """

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    lighting: str
    illumination: float
    light_x: float
    light_y: float
    contrast: float
    warmth: float
    shadow: float
    ambient: float
    glasses: str
    glasses_shape: float
    glasses_size: float
    glasses_drop: float
    occlusion: str
    occlusion_side: float
    occlusion_reach: float
    speech: float
    blink: bool
    gaze: tuple[float, float]
    blur: float
    noise: float
    window: tuple[float, float]


_ILLUMINATION = {"day": (0.55, 1.25), "dusk": (0.10, 0.35), "night": (0.003, 0.024)}


def draw_scene(seed: int, index: int) -> Scene:
    """The circumstances of item `index` under `seed`. The label is not among the arguments: it cannot matter."""
    rng = stream(seed, Purpose.SCENE, index)
    lighting = choice(rng, LIGHTINGS)
    talking = float(rng.random()) < 0.25
    speech = uniform(rng, 0.15, 1.0)
    return Scene(
        yaw=normal(rng, 0.14),
        pitch=normal(rng, 0.10),
        roll=normal(rng, 0.11),
        scale=0.355 * (1.0 + normal(rng, 0.07)),
        shift=(normal(rng, 0.035), normal(rng, 0.035)),
        lighting=lighting,
        illumination=log_uniform(rng, *_ILLUMINATION[lighting]),
        light_x=uniform(rng, -1.0, 1.0),
        light_y=uniform(rng, -1.0, 0.4),
        contrast=uniform(rng, 0.1, 0.55),
        warmth=normal(rng, 0.08),
        shadow=uniform(rng, 0.5, 1.0) if float(rng.random()) < 0.25 else 1.0,
        ambient=uniform(rng, 16.0, 29.0),
        glasses=choice(rng, GLASSES),
        glasses_shape=float(rng.random()),
        glasses_size=1.0 + normal(rng, 0.09),
        glasses_drop=normal(rng, 0.025),
        occlusion=choice(rng, OCCLUSIONS),
        occlusion_side=-1.0 if float(rng.random()) < 0.5 else 1.0,
        occlusion_reach=float(rng.random()),
        speech=speech if talking else 0.0,
        blink=float(rng.random()) < 0.05,
        gaze=(uniform(rng, -1.0, 1.0), uniform(rng, -0.6, 0.6)),
        blur=uniform(rng, 0.7, 1.3),
        noise=uniform(rng, 0.6, 1.4),
        window=(uniform(rng, 22.0, 25.0), uniform(rng, 36.5, 38.0)),
    )
