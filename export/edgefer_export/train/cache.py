"""Samples ready for training: read and resized once, kept as integers, made into tensors by the one pre-processing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import InputError
from edgefer.progress import Reporter
from edgefer.runtime.preprocess import Preprocessor
from edgefer_export.data.dataset import Dataset, Image, combined_digest, pixel_digest

Tensors = dict[str, torch.Tensor]

MEMORY_LIMIT = 3 << 30
"""Bytes of resized images that are kept; what is beyond is read again in every epoch."""


class SampleCache:
    """A data set as batches of tensors for given inputs.

    Images are resized by `Preprocessor` and kept in their integer type until it makes the tensors, so that it does in
    training exactly what it does in a session. Inputs of role `present` get ones.

    Args:
        dataset: what to read; every item is read once here.
        inputs: the network's.
        reporter: gets a task while reading.
        name: what that task is called.
        digest: compute `digest`, SHA-256 (hex) over names, labels and pixels of all samples; else it is empty.

    Raises:
        InputError: an input has a role that the data set does not have, or cannot be made from an image.
        DataError: an image cannot be read.
    """

    def __init__(
        self,
        dataset: Dataset,
        inputs: tuple[InputSpec, ...],
        reporter: Reporter,
        name: str,
        *,
        digest: bool = False,
    ) -> None:
        self._dataset = dataset
        self._specs = {spec.name: spec for spec in inputs}
        self._preprocessors = {spec.name: _preprocessor(spec, dataset) for spec in inputs if spec.role != "present"}
        self._kept: list[dict[str, Image]] = []
        labels = []
        told = []
        room = MEMORY_LIMIT
        with reporter.task(name, len(dataset)) as advance:
            for index in range(len(dataset)):
                sample = dataset[index]
                labels.append(sample.label)
                if digest:
                    told.append(f"{sample.name} {sample.label} {pixel_digest(sample)}")
                if room > 0:
                    images = self._resized(sample.images)
                    room -= sum(image.nbytes for image in images.values())
                    self._kept.append(images)
                advance(1)
        self.digest = combined_digest(told) if digest else ""
        self.labels = torch.tensor(labels, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def values(self) -> int:
        """Values of one sample, over all inputs."""
        return sum(math.prod(spec.shape[1:]) for spec in self._specs.values())

    def batches(self, batches: Sequence[npt.NDArray[np.int64]]) -> Iterator[tuple[Tensors, torch.Tensor]]:
        """Tensors by input name, (B, C, H, W) float32 in channels-last memory, and labels (B,), for each array of
        indices; the next batch is prepared while the caller works on this one."""
        with ThreadPoolExecutor(1, thread_name_prefix="edgefer-batches") as pool:
            ahead = pool.submit(self._batch, batches[0]) if batches else None
            for following in range(1, len(batches) + 1):
                if ahead is None:
                    return
                ready = ahead.result()
                ahead = pool.submit(self._batch, batches[following]) if following < len(batches) else None
                yield ready

    def _batch(self, indices: npt.NDArray[np.int64]) -> tuple[Tensors, torch.Tensor]:
        images = [self._images(int(index)) for index in indices]
        tensors: Tensors = {}
        for name, spec in self._specs.items():
            if spec.role == "present":
                tensors[name] = torch.ones(len(indices), *spec.shape[1:])
                continue
            array = np.empty((len(indices), *spec.shape[1:]), np.float32)
            for row, item in enumerate(images):
                self._preprocessors[name].tensor(item[name], out=array[row : row + 1])
            # By NumPy and not by torch: a second thread with parallel regions of its own halves the speed of the
            # training beside it, because OpenMP then keeps two teams of threads for the same cores.
            tensors[name] = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return tensors, self.labels[torch.from_numpy(indices)]

    def _images(self, index: int) -> dict[str, Image]:
        if index < len(self._kept):
            return self._kept[index]
        return self._resized(self._dataset[index].images)

    def _resized(self, images: Mapping[str, Image]) -> dict[str, Image]:
        return {
            name: preprocessor.resized(images[self._specs[name].role])
            for name, preprocessor in self._preprocessors.items()
        }


def _preprocessor(spec: InputSpec, dataset: Dataset) -> Preprocessor:
    if spec.role not in dataset.roles:
        raise InputError(
            f"input '{spec.name}' takes {spec.role} images, but {dataset.source} has only "
            f"{' and '.join(dataset.roles)} ones",
            hint="use data with both cameras (--layout pairs), or a network of one camera",
        )
    return Preprocessor(spec)
