"""What the pre-processing kernel must compute, in float64 over whole arrays; shares no code with the kernel's plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefer.bundle.manifest import ImageSpec
from edgefer.kernels.preprocess_frame import Frame

Floats = NDArray[np.float64]

_LUMA = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "average": (1 / 3, 1 / 3, 1 / 3)}
_NEAR_EDGE = 1e-4
"""Pixels of the frame: where a sample lies so near to the picture's edge, either side is right."""


@dataclass(frozen=True)
class Picture:
    """One camera's frame and its view. `planes` is (H, W, 3) in the order of the format, or (H, W); of NV12 it is luma
    (H, W) and `chroma` (h, w, 2). `to_source`, `crop` and `samples` are those of the view as the kernel reads them."""

    frame: Frame
    planes: NDArray[Any]
    chroma: NDArray[Any] | None
    to_source: Floats
    crop: tuple[int, int, int, int]
    samples: tuple[int, int]


def values_of(
    picture: Picture, image: ImageSpec, channels: int, size: tuple[int, int]
) -> tuple[Floats, NDArray[np.bool_]]:
    """The channels (C, height, width) of one camera, and which pixels (height, width) are so near to an edge of the
    picture that they may have another share of the pad level."""
    mean, share, near = seen(picture, size)
    levels = _levels(picture.frame, image, channels, mean)
    pad = _normalised(image, channels, np.array(image.pad, np.float64) / 255)
    return (share * levels + (1 - share) * pad).transpose(2, 0, 1), near


def seen(picture: Picture, size: tuple[int, int]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """What a view shows, before any conversion: the mean of the samples in the picture (height, width, 1 or 3), their
    share of all (height, width, 1), and which pixels are near an edge."""
    x, y = _positions(picture, size)
    left, top, right, bottom = picture.crop
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, picture.frame.width), min(bottom, picture.frame.height)
    with np.errstate(invalid="ignore"):
        inside = (x >= left - 0.5) & (x < right - 0.5) & (y >= top - 0.5) & (y < bottom - 0.5)
        near = np.min([np.abs(x - (edge - 0.5)) for edge in (left, right)], axis=0) < _NEAR_EDGE
        near |= np.min([np.abs(y - (edge - 0.5)) for edge in (top, bottom)], axis=0) < _NEAR_EDGE
    x, y = np.where(inside, x, left), np.where(inside, y, top)
    if left >= right or top >= bottom:
        sampled = np.zeros((*x.shape, 1))
    else:
        sampled = _sampled(picture, x, y, (left, top, right, bottom))
    count = inside.sum(axis=0)
    mean = (sampled * inside[..., None]).sum(axis=0) / np.maximum(count, 1)[..., None]
    return mean, (count / len(inside))[..., None], near.any(axis=0)


def _positions(picture: Picture, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Columns and rows in the frame of all samples, (samples, height, width) each."""
    across, down = picture.samples
    height, width = size
    right = (np.arange(across) + 0.5) / across - 0.5
    lower = (np.arange(down) + 0.5) / down - 0.5
    u = np.arange(width)[None, None, None, :] + right[None, :, None, None]
    v = np.arange(height)[None, None, :, None] + lower[:, None, None, None]
    u, v = np.broadcast_arrays(u, v)
    at = np.stack([u, v, np.ones_like(u)]).reshape(3, -1)
    with np.errstate(all="ignore"):
        x, y, w = picture.to_source @ at
        x, y = x / w, y / w
    return x.reshape(-1, height, width), y.reshape(-1, height, width)


def _sampled(picture: Picture, x: Floats, y: Floats, box: tuple[int, int, int, int]) -> Floats:
    """Levels at positions, (..., 1) grey or (..., 3) R, G, B (of NV12: Y, Cb, Cr)."""
    left, top, right, bottom = box
    planes = picture.planes.astype(np.float64)
    found = _bilinear(planes.reshape(*planes.shape[:2], -1), x, y, (left, top, right - 1, bottom - 1))
    if picture.chroma is None:
        return found if picture.frame.format == "rgb8" else found[..., ::-1]
    beside = -0.25 if picture.frame.chroma == "centre" else 0.0
    last = (left // 2, top // 2, (right - 1) // 2, (bottom - 1) // 2)
    pairs = _bilinear(picture.chroma.astype(np.float64), x / 2 + beside, y / 2 - 0.25, last)
    return np.concatenate([found, pairs], axis=-1)


def _bilinear(plane: Floats, x: Floats, y: Floats, box: tuple[int, int, int, int]) -> Floats:
    """Between the neighbours; beyond the first and last column and row of `box` these are repeated."""
    x, y = np.clip(x, box[0], box[2]), np.clip(y, box[1], box[3])
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    next_column, next_row = np.minimum(column + 1, box[2]), np.minimum(row + 1, box[3])
    right, down = (x - column)[..., None], (y - row)[..., None]
    upper = plane[row, column] * (1 - right) + plane[row, next_column] * right
    lower = plane[next_row, column] * (1 - right) + plane[next_row, next_column] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _levels(frame: Frame, image: ImageSpec, channels: int, mean: Floats) -> Floats:
    if frame.format == "y16":
        low, high = image.window16
        return _normalised(image, channels, (np.clip(mean, low, high) - low) / (high - low))
    if frame.format == "nv12":
        mean = np.clip((mean - _black(frame)) @ np.linalg.inv(_yuv_of_rgb(frame)).T, 0, 255)
    if mean.shape[-1] == 3:
        if channels == 1 or image.colour == "grey":
            mean = mean @ np.array(_LUMA[image.grey])[:, None]
        elif image.colour == "bgr":
            mean = mean[..., ::-1]
    return _normalised(image, channels, mean / 255)


def _normalised(image: ImageSpec, channels: int, share: Floats) -> Floats:
    low, high = image.range
    ranged = np.broadcast_to(share, (*share.shape[:-1], channels)) * (high - low) + low
    return np.asarray((ranged - np.array(image.mean or 0.0)) / np.array(image.std or 1.0))


def _yuv_of_rgb(frame: Frame) -> Floats:
    """Y, Cb, Cr of R, G, B, without the offsets, as ITU-R BT.601 and BT.709 define them."""
    red, green, blue = _LUMA[frame.matrix]
    luma = np.array([red, green, blue])
    of_blue = (np.array([0.0, 0.0, 1.0]) - luma) / (2 - 2 * blue)
    of_red = (np.array([1.0, 0.0, 0.0]) - luma) / (2 - 2 * red)
    spans = (1.0, 1.0, 1.0) if frame.full_range else (219 / 255, 224 / 255, 224 / 255)
    matrix: Floats = np.stack([luma, of_blue, of_red]) * np.array(spans)[:, None]
    return matrix


def _black(frame: Frame) -> Floats:
    return np.array([0.0 if frame.full_range else 16.0, 128.0, 128.0])
