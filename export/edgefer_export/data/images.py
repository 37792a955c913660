"""Reading one image file: 8- or 16-bit, one or three channels, the way OpenCV's `imread` would give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from edgefer.errors import DataError
from edgefer.runtime.vision import opencv
from edgefer_export.data.dataset import Image

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"},
)
"""Suffixes (lower case) of the files that are taken for images; everything else in a folder is reported as ignored."""

_MAY_HOLD_ALPHA = frozenset({".tif", ".tiff", ".webp"})


def read_image(path: Path) -> Image:
    """The pixels of an image file: (H, W) grey or (H, W, 3) in BGR order, uint8 or uint16.

    The orientation tag of EXIF is applied, as `cv2.imread` does by default, so that a face is upright here and in an
    application alike. An alpha channel that is opaque everywhere is dropped; one that is not is refused, because the
    colour under a transparent pixel means nothing. A palette is resolved to colours. Of a file with several pages the
    first is read.

    Raises:
        DataError: the file cannot be read, is empty, damaged or no image, holds another depth or is transparent.
        EnvironmentMismatch: OpenCV is not installed.
    """
    cv2 = opencv()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not data:
        raise DataError(f"{path} is empty (0 bytes).", hint="Restore the file or remove it from the data set.")
    # Depth and channels as stored; unlike IMREAD_UNCHANGED this applies the orientation and resolves alpha.
    image = _decode(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, cv2)
    if image is None:
        raise DataError(
            f"{path} is not a readable image: it is damaged, cut short or of another format than its name says.",
            hint="Restore the file or remove it from the data set; nothing is skipped silently.",
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path} holds {image.dtype} values; 8- or 16-bit unsigned integers are expected.",
            hint="Convert it, with a fixed scale for all images of the set.",
        )
    if _may_hold_alpha(path, data):
        _refuse_transparency(path, _decode(data, cv2.IMREAD_UNCHANGED, cv2))
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] != 3:
        raise DataError(f"{path} has {image.shape[2]} channels; one or three are expected.")
    return cast(Image, image)


def _decode(data: bytes, flags: int, cv2: Any) -> Any:
    """The decoded array, or None where OpenCV gives none or raises, which depends on its version and the format."""
    try:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error:
        return None


def _may_hold_alpha(path: Path, data: bytes) -> bool:
    # A second decoding costs as much as the first; PNG, the common case, says in its header whether it is needed.
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        colour_type = data[25] if len(data) > 25 else 0
        return bool(colour_type & 4) or b"tRNS" in data[: data.find(b"IDAT")]
    return path.suffix.lower() in _MAY_HOLD_ALPHA


def _refuse_transparency(path: Path, stored: Any) -> None:
    if stored is None or stored.ndim != 3 or stored.shape[2] not in (2, 4):
        return
    alpha = stored[:, :, -1]
    clear = int(np.count_nonzero(alpha != np.iinfo(alpha.dtype).max))
    if clear:
        raise DataError(
            f"{path} has an alpha channel in which {clear} of {alpha.size} pixels are not opaque.",
            hint="Flatten it on the background that the network was trained with.",
        )
