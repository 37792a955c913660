"""What is done to an image before a network sees it, as short lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgefer.bundle.manifest import ImageSpec


def image_steps(image: ImageSpec) -> list[str]:
    """One line for each step in the order they are done; resizing and range always, others where they do something."""
    return list(_lines(image))


def _lines(image: ImageSpec) -> Iterator[str]:
    if image.crop != (0, 0, 1, 1):
        left, top, right, bottom = image.crop
        yield f"crop: {left:g} to {right:g} of the width, {top:g} to {bottom:g} of the height"
    yield f"resize: {_fit(image)}, {image.resize}"
    if image.grey != "bt601":
        yield f"grey: {image.grey}"
    if image.equalise == "clahe":
        across, down = image.tiles
        yield f"equalise: clahe, clip limit {image.clip_limit:g}, {across}x{down} tiles"
    elif image.equalise != "none":
        yield f"equalise: {image.equalise}"
    low, high = image.range
    window = "" if image.window16 == (0, 65535) else f", 16 bits from {image.window16[0]} to {image.window16[1]}"
    yield f"range: {low:g} to {high:g}{window}"
    for name, values in (("mean", image.mean), ("standard deviation", image.std)):
        if values:
            yield f"{name}: {', '.join(f'{value:g}' for value in values)}"


def _fit(image: ImageSpec) -> str:
    if image.fit == "letterbox":
        return f"letterbox ({image.align}) on {', '.join(map(str, image.pad))}"
    if image.fit == "centre-crop":
        return "centre-crop" + ("" if image.keep == 1 else f" of {image.keep:g}")
    return image.fit
