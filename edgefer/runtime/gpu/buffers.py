"""The memory that inputs and outputs of a lane are in: one block on the host and one on the GPU, with the same layout.

Inputs lie one behind the other, then the outputs, so that one copy takes all inputs to the GPU and one brings all
outputs back. Every batch has a layout of its own in the same block, because a lane does one inference at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.engine.loaded import EngineTensor, LoadedEngine
from edgefer.kernels.streams import Stream
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.gpu.inference import Stage

ALIGNMENT = 256
"""Bytes: what TensorRT asks of the address of a tensor."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a block: `size` bytes from `start`."""

    tensor: EngineTensor
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return aligned(self.start + self.size)


@dataclass(frozen=True)
class Layout:
    """The places of all tensors in a batch; `size` is of the block in bytes."""

    batch: int
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    size: int


def aligned(size: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def layout(engine: LoadedEngine, batch: int) -> Layout:
    """Of the tensors of an engine in a batch."""
    inputs, end = _placed(engine.inputs, batch, 0)
    outputs, end = _placed(engine.outputs, batch, end)
    return Layout(batch, inputs, outputs, end)


class Batch:
    """What one batch is fed through: `inputs` and `outputs` are arrays on the host, (name, array) each, and `addresses`
    are where the engine finds the same tensors."""

    def __init__(self, places: Layout, block: Array, address: int, copied: bool) -> None:
        self.size = places.batch
        self.inputs = tuple((each.tensor.name, _view(block, each)) for each in places.inputs)
        self.outputs = tuple((each.tensor.name, _view(block, each)) for each in places.outputs)
        self.addresses = {each.tensor.name: address + each.start for each in (*places.inputs, *places.outputs)}
        self._places, self._block, self._address, self._copied = places, block, address, copied

    def copy_in(self, names: Collection[str] | None = None) -> Stage | None:
        """Puts the copies of these inputs (None: all) to the GPU on a stream; None where nothing is to be copied."""
        places = [each for each in self._places.inputs if names is None or each.tensor.name in names]
        return self._copies(places, lambda stream, address, array: stream.copy_in(address, array))

    def copy_out(self) -> Stage | None:
        """Puts the copies of the outputs to the host on a stream; None where nothing is to be copied."""
        return self._copies(self._places.outputs, lambda stream, address, array: stream.copy_out(array, address))

    def _copies(self, places: Sequence[Place], copy: Callable[[Stream, int, Array], None]) -> Stage | None:
        # No reference to this object: what a graph holds must not keep the GPU's memory from being given back.
        spans = [(self._address + start, self._block[start:end]) for start, end in _spans(places)]
        if not self._copied or not spans:
            return None

        def stage(stream: Stream) -> None:
            for address, array in spans:
                copy(stream, address, array)

        return stage


class Buffers:
    """The blocks of one lane, for every batch of an engine.

    With `zero_copy` there is one block: memory of the host that the GPU works on in place.

    Raises:
        DeviceError: there is not so much memory.
    """

    def __init__(self, device: CudaDevice, engine: LoadedEngine, *, zero_copy: bool) -> None:
        layouts = [layout(engine, batch) for batch in engine.batches]
        size = max(each.size for each in layouts)
        self._host = device.host((size,), np.uint8, mapped=zero_copy)
        self._memory = None if zero_copy else device.allocate(size)
        # What an engine reads before anybody fed it should at least be numbers.
        self._host.array.fill(0)
        address = self._host.address if self._memory is None else self._memory.address
        self.batches = {each.batch: Batch(each, self._host.array, address, not zero_copy) for each in layouts}


def _placed(tensors: Sequence[EngineTensor], batch: int, start: int) -> tuple[tuple[Place, ...], int]:
    places = []
    for tensor in tensors:
        shape = tensor.shape_at(batch)
        size = int(np.prod(shape, dtype=np.int64)) * tensor.dtype.itemsize
        places.append(Place(tensor, shape, start, size))
        start = aligned(start + max(size, 1))
    return tuple(places), start


def _spans(places: Sequence[Place]) -> list[tuple[int, int]]:
    """Start and end of what lies in one piece."""
    spans: list[tuple[int, int]] = []
    last = -1
    for each in places:
        if each.start == last:
            spans[-1] = (spans[-1][0], each.start + each.size)
        else:
            spans.append((each.start, each.start + each.size))
        last = each.end
    return spans


def _view(block: Array, place: Place) -> Array:
    piece = block[place.start : place.start + place.size]
    view: Array = piece.view(place.tensor.dtype).reshape(place.shape)
    return view
