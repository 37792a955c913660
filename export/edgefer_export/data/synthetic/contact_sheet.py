"""The contact sheet of the documentation: `python -m edgefer_export.data.synthetic.contact_sheet OUT.png`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgefer import atomic
from edgefer.errors import InputError
from edgefer.runtime.resize import area_bilinear
from edgefer_export.data.synthetic.expression import BASIC_LABELS
from edgefer_export.data.synthetic.pairs import Conditions, SyntheticPairs

Picture = npt.NDArray[np.uint8]

TILE = 84
_MARGIN, _HEADER = 74, 18
_GAP = 6
_SEARCHED = 4000
_COLOURS = 256

_COLUMNS: tuple[tuple[str, Callable[[Conditions], bool]], ...] = (
    ("day", lambda c: c.day and not c.wears_glasses and not c.occluded and not c.talking),
    ("day, another person", lambda c: c.day and not c.wears_glasses and not c.occluded and not c.talking),
    ("glasses", lambda c: c.day and c.wears_glasses and not c.occluded),
    ("occluded", lambda c: c.day and c.occluded and not c.wears_glasses),
    ("night", lambda c: c.night and not c.wears_glasses and not c.occluded and c.illumination > 0.012),
)


def contact_sheet(seed: int) -> Picture:
    """A sheet (H, W, 3) BGR: a row per label, a column per condition, visible and long-wave infrared side by side; the
    first column has near infrared too."""
    long = SyntheticPairs(_SEARCHED, seed, "lwir", BASIC_LABELS)
    near = SyntheticPairs(_SEARCHED, seed, "nir", BASIC_LABELS)
    rows = []
    for row, label in enumerate(BASIC_LABELS):
        tiles: list[Picture] = []
        for column, (_, wanted) in enumerate(_COLUMNS):
            # A different stretch of the set for each tile, so that people differ.
            index = _first(long, BASIC_LABELS.index(label), wanted, start=(row * len(_COLUMNS) + column) * 97)
            images = long[index].images
            pictures = [images["visible"], images["infrared"]]
            if column == 0:
                pictures.append(near[index].images["infrared"])
            tiles += [_tile(np.asarray(picture, np.uint8)) for picture in pictures]
            tiles.append(np.full((TILE, _GAP, 3), 255, np.uint8))
        rows.append(np.hstack([_caption(label, _MARGIN, TILE), *tiles[:-1]]))
    return np.vstack([_header(rows[0].shape[1]), *rows])


def _first(pairs: SyntheticPairs, label: int, wanted: Callable[[Conditions], bool], *, start: int) -> int:
    for index in range(start, len(pairs)):
        if pairs.label(index) == label and wanted(pairs.conditions(index)):
            return index
    raise InputError(f"none of {len(pairs)} synthetic pairs is as wanted", hint="take another seed")


def _tile(picture: Picture) -> Picture:
    small = area_bilinear(picture, TILE, TILE)
    return small if small.ndim == 3 else np.repeat(small[..., None], 3, axis=2)


def _caption(text: str, width: int, height: int) -> Picture:
    blank = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(blank, text, (4, height // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return blank


def _header(width: int) -> Picture:
    blank = np.full((_HEADER, width, 3), 255, np.uint8)
    left = _MARGIN
    for column, (name, _) in enumerate(_COLUMNS):
        cv2.putText(blank, name, (left + 2, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        left += (3 if column == 0 else 2) * TILE + _GAP
    return blank


def _png(sheet: Picture) -> bytes:
    """A PNG with a palette: a third of the size of one in full colour."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(sheet[..., ::-1]))
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    atomic.write_bytes(arguments.output, _png(contact_sheet(arguments.seed)))


if __name__ == "__main__":
    main()
