"""Running networks over a data set: one pass, each image decoded and pre-processed once and given to all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from edgefer.errors import DataError, InputError
from edgefer.progress import Reporter, Silent
from edgefer_export.data.dataset import combined_digest
from edgefer_export.data.feeds import Example, Feeds, Record, Tensors

LogitsFunction = Callable[[Mapping[str, npt.NDArray[np.float32]]], npt.NDArray[np.floating]]
"""From tensors (N, C, H, W) by input name to logits (N, classes), or (classes,) for N = 1."""

CHUNK = 16
"""Samples in memory at a time."""


@dataclass(frozen=True)
class Batched:
    """A function that takes up to `size` samples at once, stacked along the first axis, such as a torch module."""

    function: LogitsFunction
    size: int = CHUNK


@dataclass(frozen=True)
class Evaluation:
    """Logits of several networks on the same images, in the order of the data set.

    Attributes:
        logits: (n, C) float32 by name of the runner.
        labels: (n,) int64 indices into `class_names`; None where the data has fewer than two classes.
        class_names: the labels of the data set.
        records: name and digests of each sample.
        seconds: wall-clock seconds spent in each runner, without decoding and pre-processing.
        source: the data set, as the user wrote it.
    """

    logits: Mapping[str, npt.NDArray[np.float32]]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    records: tuple[Record, ...]
    seconds: Mapping[str, float]
    source: str

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.records)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the decoded pixels of all samples, in order."""
        return combined_digest([record.digest for record in self.records])


def evaluate(
    feeds: Feeds,
    runners: Mapping[str, LogitsFunction | Batched],
    *,
    reporter: Reporter | None = None,
    concurrency: int = 1,
) -> Evaluation:
    """Logits of every runner on every sample, in one pass over the data. Only the logits and digests are kept.

    Args:
        feeds: the data as inputs of the graphs, which all take the same.
        runners: by name; a plain function is called with one sample, a `Batched` one with several.
        reporter: told how far it is.
        concurrency: how many samples a plain function is given at the same time, from threads. Two onnxruntime
            sessions' runs of one thread each are faster on two cores than one run of two threads, since a small batch-1
            graph leaves a second thread waiting; the function has to be thread-safe, as sessions are.

    Raises:
        DataError: there is no sample, or an image cannot be read.
        InputError: a runner returns something other than one row of logits per sample.
    """
    if len(feeds) == 0:
        raise DataError(f"{feeds.dataset.source} has no sample to evaluate.")
    rows: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in runners}
    seconds = dict.fromkeys(runners, 0.0)
    records: list[Record] = []
    chunk_size = max([CHUNK, *(runner.size for runner in runners.values() if isinstance(runner, Batched))])
    with (
        (reporter or Silent()).task("evaluate", len(feeds)) as advance,
        ThreadPoolExecutor(max(1, concurrency), thread_name_prefix="edgefer-evaluate") as pool,
        closing(feeds.examples()) as examples,
    ):
        for chunk in _chunks(examples, chunk_size):
            tensors = [example.tensors for example in chunk]
            for name, runner in runners.items():
                started = time.perf_counter()
                if isinstance(runner, Batched):
                    outputs = [runner.function(stacked) for stacked in _stacks(tensors, runner.size)]
                elif concurrency > 1:
                    outputs = list(pool.map(runner, tensors))
                else:
                    outputs = [runner(one) for one in tensors]
                seconds[name] += time.perf_counter() - started
                rows[name].append(_rows(name, outputs, len(chunk)))
            records.extend(example.record for example in chunk)
            advance(len(chunk))
    labelled = len(feeds.dataset.labels) >= 2
    return Evaluation(
        logits={name: np.concatenate(parts) for name, parts in rows.items()},
        labels=np.array([record.label for record in records], dtype=np.int64) if labelled else None,
        class_names=tuple(feeds.dataset.labels),
        records=tuple(records),
        seconds=seconds,
        source=feeds.dataset.source,
    )


def _chunks(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    while chunk := list(islice(examples, size)):
        yield chunk


def _stacks(tensors: Sequence[Tensors], size: int) -> Iterator[Tensors]:
    for start in range(0, len(tensors), size):
        part = tensors[start : start + size]
        yield {name: np.concatenate([one[name] for one in part]) for name in part[0]}


def _rows(name: str, outputs: Sequence[npt.NDArray[np.floating]], count: int) -> npt.NDArray[np.float32]:
    arrays = [np.asarray(output, dtype=np.float32) for output in outputs]
    rows = [array[None] if array.ndim == 1 else array for array in arrays]
    if any(row.ndim != 2 for row in rows) or len({row.shape[1] for row in rows}) != 1:
        shapes = sorted({array.shape for array in arrays})
        raise InputError(f"`{name}` returned arrays of shape {shapes}; logits (samples, classes) are expected.")
    joined = np.concatenate(rows)
    if len(joined) != count:
        raise InputError(f"`{name}` returned {len(joined)} rows of logits for {count} samples; one each is expected.")
    return joined
