"""Synthetic pairs drawn once for the study and kept in memory: whole faces in both modalities, and mouths alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgefer.runtime.resize import area_bilinear
from edgefer_export.data.dataset import Dataset, Sample
from edgefer_export.data.synthetic import Conditions, SyntheticPairs

Pixels = npt.NDArray[np.uint8]

FACE_SIZE = 64
MOUTH_SIZE = 48
_CHUNK = 500


@dataclass(frozen=True)
class Drawn:
    """Pictures of a whole synthetic set: `visible` (N, 64, 64, 3) BGR, `infrared` (N, 64, 64), `mouth` (N, 48, 48, 3)
    BGR, and what each shows and was taken under."""

    visible: Pixels
    infrared: Pixels
    mouth: Pixels
    labels: tuple[int, ...]
    subjects: tuple[str, ...]
    conditions: tuple[Conditions, ...]
    names: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.labels)


def draw(pairs: SyntheticPairs, *, processes: int = 2, advance: Callable[[int], None] | None = None) -> Drawn:
    """Draw a whole set, in this process or in several."""
    ranges = [(pairs, start, min(len(pairs), start + _CHUNK)) for start in range(0, len(pairs), _CHUNK)]
    parts: list[tuple[Pixels, Pixels, Pixels]] = []
    if processes > 1:
        # Spawned, not forked: a forked copy of a process with running OpenMP threads may hang.
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            for part in pool.map(_draw_range, ranges):
                parts.append(part)
                _tell(advance, len(part[0]))
    else:
        for each in ranges:
            parts.append(_draw_range(each))
            _tell(advance, len(parts[-1][0]))
    every = range(len(pairs))
    visible, infrared, mouth = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Drawn(
        visible=visible,
        infrared=infrared,
        mouth=mouth,
        labels=tuple(map(pairs.label, every)),
        subjects=tuple(map(pairs.subject, every)),
        conditions=tuple(map(pairs.conditions, every)),
        names=pairs.labels,
        source=pairs.source,
    )


def _tell(advance: Callable[[int], None] | None, units: int) -> None:
    if advance is not None:
        advance(units)


def _draw_range(task: tuple[SyntheticPairs, int, int]) -> tuple[Pixels, Pixels, Pixels]:
    cv2.setNumThreads(1)
    pairs, start, end = task
    visible = np.empty((end - start, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    infrared = np.empty((end - start, FACE_SIZE, FACE_SIZE), np.uint8)
    mouth = np.empty((end - start, MOUTH_SIZE, MOUTH_SIZE, 3), np.uint8)
    for row, index in enumerate(range(start, end)):
        images = pairs[index].images
        picture = np.asarray(images["visible"], np.uint8)
        visible[row] = area_bilinear(picture, FACE_SIZE, FACE_SIZE)
        infrared[row] = area_bilinear(np.asarray(images["infrared"], np.uint8), FACE_SIZE, FACE_SIZE)
        mouth[row] = area_bilinear(crop(picture, pairs.mouth_box(index)), MOUTH_SIZE, MOUTH_SIZE)
    return visible, infrared, mouth


def crop(picture: Pixels, box: tuple[int, int, int, int]) -> Pixels:
    """The part of a picture inside (top, left, bottom, right); beyond the border its last pixels repeat."""
    top, left, bottom, right = box
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(top, bottom), 0, height - 1)
    columns = np.clip(np.arange(left, right), 0, width - 1)
    return np.ascontiguousarray(picture[rows[:, None], columns])


class View(Dataset):
    """A drawn set as a data set: faces in both modalities, or mouths as the visible image."""

    def __init__(self, drawn: Drawn, what: Literal["face", "mouth"] = "face") -> None:
        self._drawn, self._what = drawn, what

    @property
    def labels(self) -> tuple[str, ...]:
        return self._drawn.names

    @property
    def source(self) -> str:
        return f"{self._drawn.source}, {self._what}"

    @property
    def roles(self) -> tuple[str, ...]:
        return ("visible", "infrared") if self._what == "face" else ("visible",)

    def __len__(self) -> int:
        return len(self._drawn)

    def __getitem__(self, index: int) -> Sample:
        drawn = self._drawn
        if self._what == "mouth":
            images = {"visible": drawn.mouth[index]}
        else:
            images = {"visible": drawn.visible[index], "infrared": drawn.infrared[index]}
        return Sample(images, drawn.labels[index], f"{index:06d}", drawn.subjects[index])

    def label(self, index: int) -> int:
        """The label of an item."""
        return self._drawn.labels[index]

    def subject(self, index: int) -> str:
        """The person of an item."""
        return self._drawn.subjects[index]
