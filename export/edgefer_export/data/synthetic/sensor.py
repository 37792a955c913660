"""Light and sensors: what a camera makes of the scene. The infrared side never sees the visible light."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edgefer_export.data.synthetic.materials import COLDEST, STEPS_PER_DEGREE
from edgefer_export.data.synthetic.scene import Scene
from edgefer_export.data.synthetic.streams import noise

Picture = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

MAXIMUM_GAIN = 5.0
"""How far the visible camera's exposure control can go."""
READ_NOISE = 1.7
"""Standard deviation of the visible camera's noise at gain 1, in grey levels."""
SHOT_NOISE = 0.012
"""Variance per grey level and unit of gain."""
THERMAL_NOISE = 0.15
"""Noise-equivalent temperature difference of the long-wave camera in kelvin."""
THERMAL_BLUR = 1.6
"""Standard deviation of the long-wave camera's blur in pixels of a picture 112 pixels wide."""
THERMAL_DRIFT = 0.35
"""Standard deviation in kelvin of the slow pattern that an uncooled sensor gathers between shutter events."""


def visible_camera(reflectance: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
    """What the visible camera records of (side, side, 3) reflectances: (side, side, 3) BGR uint8."""
    side = reflectance.shape[0]
    light = _lamp(scene, side)
    gain = min(MAXIMUM_GAIN, scene.illumination**-0.7)
    if scene.illumination < 0.1:
        # A long exposure smears.
        reflectance = np.asarray(cv2.blur(reflectance, (3, 3)), np.uint8)
    balance = np.array([1.0 - scene.warmth, 1.0, 1.0 + scene.warmth], np.float32)
    signal = reflectance * (light * np.float32(scene.illumination * gain))[..., None]
    signal *= balance
    level = READ_NOISE * scene.noise
    deviation = np.sqrt((level * gain) ** 2 + SHOT_NOISE * scene.noise * gain * gain * signal)
    deviation *= noise(rng, reflectance.shape)
    signal += deviation
    signal += np.float32(2.0)
    return _to_uint8(signal)


def _lamp(scene: Scene, side: int) -> Field:
    """The light on a head-like surface, about 1 in the middle: a directed lamp over ambient light, and a shadow."""
    step = np.arange(side, dtype=np.float32) + np.float32(0.5)
    across = (step / side - (0.5 + scene.shift[0])) / scene.scale
    down = (step / side - (0.5 + scene.shift[1])) / (1.4 * scene.scale)
    c = scene.contrast
    row = c * (scene.light_x * across - 0.35 * across * across)
    column = c * (scene.light_y * down - 0.30 * down * down)
    field: Field = (1.0 + row[None, :] + column[:, None]).astype(np.float32)
    np.maximum(field, np.float32(0.15), out=field)
    if scene.shadow < 1.0:
        _cast_shadow(field, scene)
    return field


def _cast_shadow(field: Field, scene: Scene) -> None:
    side = field.shape[0]
    angle = 3.0 * scene.light_y + 1.5 * scene.light_x
    direction = np.array([math.cos(angle), math.sin(angle)])
    along = np.array([-direction[1], direction[0]])
    centre = np.array([0.5, 0.5]) + 0.25 * scene.light_x * direction
    corners = np.stack([centre - 2 * along, centre + 2 * along, centre + 2 * along + 3 * direction])
    corners = np.concatenate([corners, [centre - 2 * along + 3 * direction]])
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners * side * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    field *= 1.0 - (1.0 - np.float32(scene.shadow)) * (mask * np.float32(1 / 255))


def active_camera(reflectance: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
    """Near infrared under the camera's own lamp: (side, side) uint8. Ambient light hardly matters."""
    side = reflectance.shape[0]
    step = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / side - np.float32(0.5)
    falloff = 1.08 - 0.9 * step * step
    field = (falloff[None, :] * falloff[:, None]).astype(np.float32)
    signal = reflectance * field * np.float32(0.75 + 0.3 * scene.glasses_shape)
    signal += np.float32(3.2 * scene.noise) * noise(rng, reflectance.shape)
    blurred = cv2.GaussianBlur(signal, (0, 0), max(0.4, 0.5 * scene.blur * side / 112.0))
    return _to_uint8(blurred)


def thermal_camera(temperature: Picture, scene: Scene, rng: np.random.Generator) -> Field:
    """Long-wave infrared: (side, side) float32 temperatures in degrees Celsius, blurred and noisy."""
    side = temperature.shape[0]
    sharp = temperature * np.float32(1 / STEPS_PER_DEGREE) + np.float32(COLDEST)
    sigma = THERMAL_BLUR * scene.blur * side / 112.0
    celsius: Field = np.asarray(cv2.GaussianBlur(sharp, (0, 0), max(sigma, 0.3)), np.float32)
    celsius += np.float32(THERMAL_NOISE * scene.noise) * noise(rng, (side, side))
    drift = np.float32(THERMAL_DRIFT * scene.noise) * noise(rng, (5, 5))
    celsius += cv2.resize(drift, (side, side), interpolation=cv2.INTER_CUBIC)
    # Uncooled sensors are read out by column, and the columns' amplifiers differ.
    celsius += np.float32(0.5 * THERMAL_NOISE * scene.noise) * noise(rng, (1, side))
    return celsius


def thermal_8bit(celsius: Field, scene: Scene) -> Picture:
    """Temperatures through the camera's display window, which drifts: (side, side) uint8."""
    low, high = scene.window
    return _to_uint8((celsius - np.float32(low)) * np.float32(255.0 / (high - low)))


def thermal_16bit(celsius: Field) -> npt.NDArray[np.uint16]:
    """Temperatures in hundredths of a kelvin, as radiometric cameras deliver them: (side, side) uint16."""
    kelvin: npt.NDArray[np.uint16] = np.rint((celsius + np.float32(273.15)) * np.float32(100.0)).astype(np.uint16)
    return kelvin


def _to_uint8(signal: Field) -> Picture:
    np.clip(signal, 0.0, 255.0, out=signal)
    return np.rint(signal).astype(np.uint8)
