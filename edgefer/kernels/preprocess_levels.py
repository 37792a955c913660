"""From a camera's levels to the values of an input, as numbers that the pre-processing kernel multiplies and adds."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.bundle.manifest import GreyWeights, ImageSpec
from edgefer.runtime.nv12 import YuvMatrix, rgb_of_yuv

__all__ = ["Levels", "YuvMatrix", "levels", "rgb_of_yuv"]

# Of red, green and blue: the coefficients of luma in ITU-R BT.601 and BT.709, and the mean.
_GREY: dict[GreyWeights, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
    "average": (1 / 3, 1 / 3, 1 / 3),
}


@dataclass(frozen=True)
class Levels:
    """Value of channel c = `mul`[c] times its level, plus `add`[c]. Its level is row c of `mix` / `mul`[c] times (R, G,
    B), so that `mix` does both at once. `pad` are the values of the pad level."""

    mul: tuple[float, ...]
    mix: tuple[float, ...]
    add: tuple[float, ...]
    pad: tuple[float, ...]


def levels(image: ImageSpec, channels: int, span: float, scale: float = 0.0) -> Levels:
    """The numbers for levels 0 to `span` that become `image.range`, less the mean, by the deviation; in steps of
    `scale` where that is not 0."""
    low, high = image.range
    step = scale or 1.0
    means, deviations = image.mean or (0.0,) * channels, image.std or (1.0,) * channels
    pads = image.pad * (channels // len(image.pad))
    mul = tuple((high - low) / span / deviation / step for deviation in deviations)
    add = tuple((low - mean) / deviation / step for mean, deviation in zip(means, deviations, strict=True))
    # The pad level is one of 8 bits, whatever the frame's own are.
    pad = tuple(
        (level / 255 * (high - low) + low - mean) / deviation / step
        for level, mean, deviation in zip(pads, means, deviations, strict=True)
    )
    mix = tuple(factor * share for channel, factor in enumerate(mul) for share in _row(image, channels, channel))
    return Levels(mul, mix, add, pad)


def _row(image: ImageSpec, channels: int, channel: int) -> tuple[float, float, float]:
    if channels == 1 or image.colour == "grey":
        return _GREY[image.grey]
    place = channel if image.colour == "rgb" else 2 - channel
    return (float(place == 0), float(place == 1), float(place == 2))
