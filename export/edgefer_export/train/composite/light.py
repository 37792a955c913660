"""The colours: the face in the light of the background, and the changes to the whole image afterwards."""

from __future__ import annotations

from typing import cast

import numpy as np

from edgefer.runtime.vision import opencv
from edgefer_export.train.composite.pose import Mask, Pixels
from edgefer_export.train.composite.ranges import PhotometricRanges

RATIO = (0.5, 1.5)
"""By how much the lightness of a face is multiplied, at least and at most."""

LIGHTNESS = (10.0, 90.0)
"""Between what the lightness of a face is kept afterwards, of 0..100."""

# Of the equalisation and the blur the authors' parameters are not stated; these are our choice.
_CLIP_LIMIT, _TILES = 2.0, (4, 4)
_DEVIATION = (0.4, 1.2)


def relit(face: Pixels, mask: Mask, background: Pixels) -> Pixels:
    """The face (H, W, 3), RGB in 0..1, with its lightness in CIE Lab multiplied by the background's mean over its own.

    The mean of the face is over its mask; the public code's is over the black around it as well.
    """
    cv2 = opencv()
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2Lab)
    inside = mask.astype(bool)
    own = float(lab[inside, 0].mean()) if inside.any() else 0.0
    around = float(cv2.cvtColor(background, cv2.COLOR_RGB2Lab)[:, :, 0].mean())
    ratio = float(np.clip(around / own, *RATIO)) if own > 0 else 1.0
    lab[:, :, 0] = np.clip(lab[:, :, 0] * ratio, *LIGHTNESS)
    return np.clip(cast(Pixels, cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)), 0.0, 1.0)


def recoloured(image: Pixels, ranges: PhotometricRanges, rng: np.random.Generator) -> Pixels:
    """The image (H, W, 3) with its colours changed by chance; values stay in 0..1."""
    # Every number is drawn whether it is used or not, so that one range does not decide what another draws.
    chances = rng.random(6)
    amounts = rng.uniform(-1.0, 1.0, 3) * ranges.jitter
    order, deviation = rng.permutation(3), rng.uniform(*_DEVIATION)
    if chances[0] < ranges.jitter_probability:
        image = image + np.float32(amounts[0])
    if chances[1] < ranges.jitter_probability:
        mean = image.mean(dtype=np.float32)
        image = mean + (image - mean) * np.float32(1.0 + amounts[1])
    image = np.clip(image, 0.0, 1.0)
    if chances[2] < ranges.jitter_probability:
        image = image ** np.float32(1.0 + amounts[2])
    if chances[3] < ranges.permutation:
        image = image[:, :, order]
    return _softened(image, ranges, (chances[4], chances[5], deviation))


def _softened(image: Pixels, ranges: PhotometricRanges, drawn: tuple[float, float, float]) -> Pixels:
    cv2 = opencv()
    height, width = image.shape[:2]
    if ranges.reduced < 1.0:
        small = (max(1, round(ranges.reduced * width)), max(1, round(ranges.reduced * height)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    if drawn[0] < ranges.clahe:
        image = _equalised(np.ascontiguousarray(image))
    if drawn[1] < ranges.blur:
        image = cv2.GaussianBlur(image, (0, 0), drawn[2])
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(image, 0.0, 1.0)


def _equalised(image: Pixels) -> Pixels:
    cv2 = opencv()
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
    levels = np.clip(np.rint(lab[:, :, 0] * 2.55), 0, 255).astype(np.uint8)
    lab[:, :, 0] = cv2.createCLAHE(_CLIP_LIMIT, _TILES).apply(levels).astype(np.float32) / 2.55
    return cast(Pixels, cv2.cvtColor(lab, cv2.COLOR_Lab2RGB))
