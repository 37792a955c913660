"""What a data set is to the rest of the host half: labelled images by role, read lazily, with a pixel digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Sample:
    """One example. `images` maps a role (`visible`, `infrared`) to an image as OpenCV reads it: (H, W) grey or
    (H, W, 3) in BGR order, uint8 or uint16. `label` indexes the data set's `labels`; `subject` groups images of one
    person where that is known."""

    images: Mapping[str, Image]
    label: int
    name: str
    subject: str | None = None


class Dataset(Protocol):
    """A finite, indexable set of samples. Reading an item twice gives the same pixels."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def source(self) -> str:
        """Where it came from, as the user wrote it."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that every sample has."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def samples(dataset: Dataset) -> Iterator[Sample]:
    """All samples in order."""
    for index in range(len(dataset)):
        yield dataset[index]


def pixel_digest(sample: Sample) -> str:
    """SHA-256 (hex) over role, shape, dtype and pixels of each image: equal for the same picture in another file."""
    digest = hashlib.sha256()
    for role in sorted(sample.images):
        image = np.ascontiguousarray(sample.images[role])
        digest.update(f"{role}:{image.shape}:{image.dtype.str}:".encode())
        digest.update(image.data)
    return digest.hexdigest()


def combined_digest(digests: list[str]) -> str:
    """One SHA-256 (hex) over the digests of the samples, in order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
