"""Data sets whose samples have a saliency map beside their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgefer.errors import DataError
from edgefer_export.data.dataset import Dataset, Image, Sample
from edgefer_export.data.splits import Subset, targets_and_subjects
from edgefer_export.data.synthetic import SyntheticPairs

ROLE = "saliency"


class WithMaps:
    """A data set whose samples also have a map under the role `saliency`, in the place of one that they may have.

    Args:
        dataset: what to add maps to.
        make: the map of a sample, from its index and the sample: (H, W) of the visible image's size, uint8 or uint16.

    Raises:
        DataError: the samples have no visible image.
    """

    def __init__(self, dataset: Dataset, make: Callable[[int, Sample], Image]) -> None:
        if "visible" not in dataset.roles:
            raise DataError(
                f"{dataset.source} has only {' and '.join(dataset.roles)} images; saliency maps are of visible ones",
                hint="use data with visible images",
            )
        self._dataset, self._make = dataset, make

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self._dataset.labels

    @property
    def source(self) -> str:
        """That of the data set."""
        return self._dataset.source

    @property
    def roles(self) -> tuple[str, ...]:
        """Those of the data set and `saliency`."""
        return (*(role for role in self._dataset.roles if role != ROLE), ROLE)

    @property
    def targets(self) -> tuple[int, ...]:
        """The label of each sample."""
        return targets_and_subjects(self._dataset)[0]

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The person in each sample, where known."""
        return targets_and_subjects(self._dataset)[1]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return replace(sample, images={**sample.images, ROLE: self._make(index, sample)})


def with_known_maps(dataset: Dataset) -> Dataset:
    """The data set with the maps that it comes with: itself where its samples have them, synthetic faces with those
    that are drawn for them.

    Raises:
        DataError: it has none.
    """
    if ROLE in dataset.roles:
        return dataset
    if isinstance(dataset, Subset):
        return Subset(with_known_maps(dataset.whole), dataset.indices)
    if isinstance(dataset, SyntheticPairs):
        return WithMaps(dataset, lambda index, sample: dataset.saliency(index))
    raise DataError(
        f"{dataset.source} has no saliency maps to learn from",
        hint="use --layout saliency (DIR/images with DIR/maps), or synthetic faces",
    )
