"""Requests that a server answers before it calls a model ready, so that no client waits for a first run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefer.bundle.golden import golden_feeds
from edgefer.serve.pbtxt import Message, Value, Word
from edgefer.serve.source import Source
from edgefer.serve.tensors import Batching, Served, Tensor

FOLDER = "warmup"


def network_samples(source: Source, inputs: tuple[Tensor, ...], batching: Batching) -> tuple[Message, dict[str, bytes]]:
    """A sample for each batch size, and the files that it reads: the bundle's first golden inputs, or zeros where it
    has none. A mask that is not among them says that all cameras are there."""
    feeds = golden_feeds(source.bundle, source.graph.inputs)
    entries: list[tuple[str, Value]] = []
    files: dict[str, bytes] = {}
    for index, (spec, tensor) in enumerate(zip(source.graph.inputs, inputs, strict=True)):
        rows = feeds.get(spec.name)
        if rows is None and spec.role == "present":
            rows = np.ones((1, *spec.shape[1:]), np.float32)
        if rows is None:
            entries.append(_input(tensor, tensor.dims, None))
            continue
        # By number: a tensor's name may have letters that a file's cannot.
        file = f"input_{index}"
        files[f"{FOLDER}/{file}"] = _first(rows, batching).astype("<f4").tobytes()
        entries.append(_input(tensor, tensor.dims, file))
    sizes = batching.sizes if batching.most else (1,)
    return tuple(_sample(f"batch of {size}", size, entries) for size in sorted(set(sizes))), files


def prepare_sample(served: Served, tensors: tuple[Tensor, ...], batching: Batching) -> Message:
    """Black images of all cameras, of the size that the network takes."""
    sizes = {str(spec.role): (*batching.fixed, *spec.shape[2:], 3) for spec in served.cameras}
    entries = [_input(tensor, sizes[tensor.name], None) for tensor in tensors if tensor.name in sizes]
    return (_sample("black images", 1, entries),)


def _sample(name: str, size: int, entries: list[tuple[str, Value]]) -> tuple[str, Value]:
    inputs: tuple[tuple[str, Value], ...] = tuple(entries)
    return "model_warmup", (("name", name), ("batch_size", size), *inputs)


def _input(tensor: Tensor, dims: tuple[int, ...], file: str | None) -> tuple[str, Value]:
    how: tuple[str, Value] = ("zero_data", True) if file is None else ("input_data_file", file)
    value: Message = (("data_type", Word(tensor.data_type)), ("dims", list(dims) or [1]), how)
    return "inputs", (("key", tensor.name), ("value", value))


def _first(rows: npt.NDArray[np.float32], batching: Batching) -> npt.NDArray[np.float32]:
    """As many examples as one request has, the last one again where there are too few."""
    count = batching.fixed[0] if batching.fixed else 1
    return rows[np.minimum(np.arange(count), len(rows) - 1)]
