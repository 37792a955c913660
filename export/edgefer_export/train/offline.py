"""Copies of every training image, made once before the training, as Naseem et al. 2025 made theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from edgefer.runtime.vision import opencv
from edgefer_export.data.dataset import Dataset, Image, Sample
from edgefer_export.data.splits import targets_and_subjects

COPIES = 5
_DEGREES = 20.0
_SHEAR_DEGREES = 0.2
_LARGEST_ZOOM = 1.5
_ZOOM_FILL = 123
_DISTORTION = 0.5

_Change = Callable[[Image, np.random.Generator], Image]


class OfflineCopies:
    """A data set in which every sample stands 26 times: itself, and five copies each of five changes.

    The changes are those of the authors' code: rotation by up to 20 degrees; zooming out, with the side 1 to 1.5 times
    as long and grey 123 around; perspective, with the corners moved inwards by up to half of half a side; rotation with
    a shear of up to 0.2 degrees; and mirroring, whose five copies are equal. They are made from the image as it was
    recorded, before it is resized. What comes in from outside is black, except for zooming out.

    Args:
        dataset: the samples.
        seed: of the chance; the same copy is the same image whenever it is read.
        apart: the two cameras of a copy are changed independently, as the authors had it, so that they no longer fit
            pixel by pixel. Otherwise both alike.
    """

    def __init__(self, dataset: Dataset, seed: int, *, apart: bool) -> None:
        self._dataset, self._seed, self._apart = dataset, seed, apart
        targets, subjects = targets_and_subjects(dataset)
        self._targets = tuple(target for target in targets for _ in range(FOLD))
        self._subjects = tuple(subject for subject in subjects for _ in range(FOLD))
        # Copies of one image are read one after the other, and reading is slower than changing.
        self._last: tuple[int, Sample] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the set."""
        return self._dataset.labels

    @property
    def source(self) -> str:
        """That of the set, and that it is multiplied."""
        return f"{self._dataset.source} ({FOLD} times)"

    @property
    def roles(self) -> tuple[str, ...]:
        """Those of the set."""
        return self._dataset.roles

    @property
    def targets(self) -> tuple[int, ...]:
        """The label of each copy."""
        return self._targets

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The person in each copy, where known."""
        return self._subjects

    def __len__(self) -> int:
        return FOLD * len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        place, copy = divmod(index, FOLD)
        sample = self._original(place)
        if copy == 0:
            return sample
        name, change = _CHANGES[(copy - 1) // COPIES]
        images = {}
        for camera, (role, image) in enumerate(sorted(sample.images.items())):
            chance = np.random.default_rng((self._seed, place, copy, camera if self._apart else 0))
            images[role] = change(image, chance)
        return Sample(images, sample.label, f"{sample.name} {name} {(copy - 1) % COPIES + 1}", sample.subject)

    def _original(self, place: int) -> Sample:
        last = self._last
        if last is None or last[0] != place:
            last = self._last = (place, self._dataset[place])
        return last[1]


def _rotation(image: Image, chance: np.random.Generator) -> Image:
    return _affine(image, chance.uniform(-_DEGREES, _DEGREES), 0.0)


def _shear(image: Image, chance: np.random.Generator) -> Image:
    return _affine(image, chance.uniform(-_DEGREES, _DEGREES), chance.uniform(-_SHEAR_DEGREES, _SHEAR_DEGREES))


def _zoom_out(image: Image, chance: np.random.Generator) -> Image:
    factor = chance.uniform(1.0, _LARGEST_ZOOM)
    height, width = image.shape[:2]
    canvas = [int(height * factor), int(width * factor)]
    top, left = (int(chance.uniform(0, 1) * (big - small)) for big, small in zip(canvas, (height, width), strict=True))
    # 123 of 255, whatever the depth of the image.
    fill = _ZOOM_FILL * (np.iinfo(image.dtype).max // 255)
    zoomed = np.full((*canvas, *image.shape[2:]), fill, image.dtype)
    zoomed[top : top + height, left : left + width] = image
    return zoomed


def _perspective(image: Image, chance: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    reach = np.array([width, height]) * _DISTORTION / 2
    moved = corners + inwards * chance.uniform(0, 1, (4, 2)) * reach
    cv2 = opencv()
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    return cast(Image, cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR))


def _mirrored(image: Image, chance: np.random.Generator) -> Image:
    return cast(Image, np.ascontiguousarray(image[:, ::-1]))


def _affine(image: Image, degrees: float, shear: float) -> Image:
    cv2 = opencv()
    height, width = image.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    turn = np.vstack([cv2.getRotationMatrix2D(centre, degrees, 1.0), [0, 0, 1]])
    slant = np.tan(np.radians(shear))
    slanted = np.array([[1, slant, -slant * centre[1]], [0, 1, 0], [0, 0, 1]])
    return cast(Image, cv2.warpAffine(image, (turn @ slanted)[:2], (width, height), flags=cv2.INTER_LINEAR))


_CHANGES: tuple[tuple[str, _Change], ...] = (
    ("rotation", _rotation),
    ("zoom", _zoom_out),
    ("perspective", _perspective),
    ("shear", _shear),
    ("mirror", _mirrored),
)
FOLD = 1 + COPIES * len(_CHANGES)
"""How many times a sample stands in `OfflineCopies`."""
