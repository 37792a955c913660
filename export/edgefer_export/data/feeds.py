"""From a data set to what a graph is fed: one dictionary of tensors per sample, in order, decoded ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import InputError
from edgefer.runtime.preprocess import Preprocessor
from edgefer_export.data.dataset import Dataset, Sample, combined_digest, pixel_digest

Tensors = dict[str, npt.NDArray[np.float32]]

DEFAULT_WORKERS = 2


@dataclass(frozen=True)
class Record:
    """What is kept of a sample once it has been read: its name, label and digests, no pixels.

    `digest` is the `pixel_digest` of the sample; `image_digests` are those of its images one by one, without images of
    a single value (a covered or dead camera), which are nobody's.
    """

    name: str
    label: int
    digest: str
    image_digests: frozenset[str]


@dataclass(frozen=True)
class Example:
    """One sample ready for a graph: (1, C, H, W) float32 by input name, with its record."""

    tensors: Tensors
    record: Record


class Feeds:
    """A data set as the inputs of a graph. Iterating gives dictionaries {input name: (1, C, H, W) float32} in the
    order of the data set; it may be iterated any number of times, and memory does not grow with the data set.

    Decoding and pre-processing run `workers` threads ahead of the consumer by a few samples. Inputs of role `present`
    get ones of shape (1, 2): every camera is there. With `missing`, the second of four samples is said to lack the
    infrared camera and the fourth the visible one, for ranges that have to hold without them as well; the images stay
    as they are. After a whole pass `records` holds one record per sample, so that
    digests cost no second decoding.

    Raises:
        InputError: an input has a role that the data set does not have, or no rule that makes it from an image.
    """

    def __init__(
        self,
        dataset: Dataset,
        inputs: tuple[InputSpec, ...],
        *,
        workers: int = DEFAULT_WORKERS,
        missing: bool = False,
    ) -> None:
        self.dataset, self.inputs = dataset, inputs
        self._workers, self._missing = workers, missing
        self._records: tuple[Record, ...] | None = None
        self._preprocessors: dict[str, tuple[str, Preprocessor]] = {}
        self._constants: dict[str, tuple[int, ...]] = {}
        for spec in inputs:
            if spec.role == "present":
                self._constants[spec.name] = (1, *spec.shape[1:])
            else:
                self._preprocessors[spec.name] = (spec.role, _preprocessor(spec, dataset))

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[Tensors]:
        for example in self.examples():
            yield example.tensors

    def __call__(self) -> Iterator[Tensors]:
        """A new pass; for consumers that take a function rather than an iterable."""
        return iter(self)

    def examples(self) -> Generator[Example, None, None]:
        """The same pass with each sample's record.

        Raises:
            DataError: an image cannot be read; the message names it.
        """
        records = []
        for example in self._ahead() if self._workers else map(self._prepare, range(len(self.dataset))):
            records.append(example.record)
            yield example
        self._records = tuple(records)

    @property
    def records(self) -> tuple[Record, ...]:
        """One record per sample, in order. Reads the data set where no pass has been completed yet."""
        if self._records is None:
            for _ in self.examples():
                pass
        if self._records is None:
            raise RuntimeError("a completed pass leaves its records")
        return self._records

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the decoded pixels of all samples, in order."""
        return combined_digest([record.digest for record in self.records])

    def _ahead(self) -> Iterator[Example]:
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="edgefer-feeds")
        waiting: deque[Future[Example]] = deque()
        try:
            for index in range(len(self.dataset)):
                waiting.append(pool.submit(self._prepare, index))
                if len(waiting) > 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, index: int) -> Example:
        sample = self.dataset[index]
        tensors: Tensors = {}
        for spec in self.inputs:
            if spec.name in self._constants:
                tensors[spec.name] = np.ones(self._constants[spec.name], dtype=np.float32)
                if self._missing and index % 2:
                    # Columns are visible, infrared.
                    tensors[spec.name][..., 1 if index % 4 == 1 else 0] = 0.0
                continue
            role, preprocess = self._preprocessors[spec.name]
            try:
                tensors[spec.name] = preprocess(sample.images[role])
            except InputError as error:
                raise InputError(
                    f"{sample.name} of {self.dataset.source}: {error.message}", hint=error.hint, details=error.details
                ) from error
        return Example(tensors, _record(sample))


def _preprocessor(spec: InputSpec, dataset: Dataset) -> Preprocessor:
    if spec.role not in dataset.roles:
        raise InputError(
            f"Input `{spec.name}` takes {spec.role} images, but {dataset.source} has only "
            f"{' and '.join(dataset.roles)} ones.",
            hint="Add --saliency CHECKPOINT of ml-net, which makes the maps."
            if spec.role == "saliency"
            else "Use data with both cameras (--layout pairs), or a network of one camera.",
        )
    if spec.image is None:
        raise InputError(
            f"Input `{spec.name}` does not say how an image becomes it (its `image` is missing).",
            hint="Describe colour order, range and size of the input.",
        )
    return Preprocessor(spec)


def _record(sample: Sample) -> Record:
    # A map made from a picture is not a picture: data stays the same data, whatever network looked at it.
    seen = {role: image for role, image in sample.images.items() if role != "saliency"}
    sample = replace(sample, images=seen) if seen else sample
    digest = pixel_digest(sample)
    telling = {role: image for role, image in sample.images.items() if image.min() != image.max()}
    if len(telling) == len(sample.images) == 1:
        return Record(sample.name, sample.label, digest, frozenset({digest}))
    return Record(sample.name, sample.label, digest, frozenset(_image_digests(sample, telling)))


def _image_digests(sample: Sample, images: Mapping[str, npt.NDArray[np.uint8] | npt.NDArray[np.uint16]]) -> list[str]:
    return [pixel_digest(Sample({role: image}, sample.label, sample.name)) for role, image in images.items()]
