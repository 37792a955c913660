"""What must hold between the fields that say how an image becomes an input."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgefer.bundle.manifest import ImageSpec, InputSpec

CHANNELS_OF_COLOUR = {"rgb": 3, "bgr": 3, "grey": 1}
LARGEST_CLIP_LIMIT = 256.0
"""Each of 256 levels then may have all pixels of a tile: nothing is clipped any more."""
MOST_TILES = 256


def image_faults(spec: InputSpec) -> Iterator[str]:
    """Every contradiction in the `image` of an input, as a sentence whose subject is the input."""
    image = spec.image
    if image is None or len(spec.shape) != 4:
        return
    channels = spec.shape[1]
    if channels not in (1, 3):
        yield f"is an image of {channels} channels, expected 1 or 3"
    elif CHANNELS_OF_COLOUR[image.colour] != channels and not (image.colour == "grey" and channels == 3):
        yield f"has {channels} channels and the colour order '{image.colour}'"
    yield from _of_values(image, channels)
    yield from _of_place(image, channels)
    if not 0 < image.clip_limit <= LARGEST_CLIP_LIMIT:
        yield f"has the clip limit {image.clip_limit}; expected a number above 0 and up to {LARGEST_CLIP_LIMIT:g}"
    if any(not 1 <= count <= MOST_TILES for count in image.tiles):
        yield f"has the tiles {image.tiles}; expected 1 to {MOST_TILES} across and down"


def _of_values(image: ImageSpec, channels: int) -> Iterator[str]:
    for field, values in (("mean", image.mean), ("std", image.std)):
        if values and len(values) != channels:
            yield f"has {channels} channels and {len(values)} values of {field}"
    if not all(map(math.isfinite, (*image.mean, *image.std, *image.range))):
        yield "has a mean, standard deviation or range that is not finite"
    if any(value <= 0 for value in image.std):
        yield f"has the standard deviations {image.std}; they must be above 0"
    if image.range[0] >= image.range[1]:
        yield f"has the range {image.range}; its end must be above its beginning"
    if not 0 <= image.window16[0] < image.window16[1] <= 65535:
        yield f"has the 16-bit window {image.window16}; expected 0 <= beginning < end <= 65535"


def _of_place(image: ImageSpec, channels: int) -> Iterator[str]:
    left, top, right, bottom = image.crop
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        yield f"has the crop {image.crop}; expected left < right and top < bottom, all from 0 to 1"
    if not 0 < image.keep <= 1:
        yield f"keeps {image.keep} of a centred crop; expected a share above 0 and up to 1"
    if len(image.pad) not in (1, channels):
        yield f"has {channels} channels and {len(image.pad)} values of pad; expected one, or one for each channel"
    if any(not 0 <= level <= 255 for level in image.pad):
        yield f"has the pad {image.pad}; expected levels from 0 to 255"
