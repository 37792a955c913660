"""Inputs that are in the GPU's memory already: read where they are if they were bound, else copied on the stream."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy.typing as npt

from edgefer.errors import InputError
from edgefer.runtime.cuda import CudaDevice
from edgefer.runtime.device_array import DeviceArray
from edgefer.runtime.gpu.buffers import ALIGNMENT, Batch
from edgefer.runtime.gpu.inference import Inference
from edgefer.runtime.gpu.lane import Lane

Key = tuple[int, tuple[tuple[str, int], ...]]
"""A set of addresses: the batch, and name and address of every input in the GPU's memory."""


def key_of(arrays: Mapping[str, DeviceArray], batch: Batch) -> Key:
    """The key of the arrays, whatever order they come in."""
    return batch.size, tuple((name, arrays[name].address) for name, _ in batch.inputs if name in arrays)


def checked(arrays: Mapping[str, DeviceArray], batch: Batch) -> None:
    """See that arrays are what the engine reads.

    Raises:
        InputError: one has another shape or type.
    """
    wanted = dict(batch.inputs)
    for name, array in arrays.items():
        if name not in wanted:
            raise InputError(f"the engine has no input '{name}'", hint=f"it has: {', '.join(wanted)}")
        if array.shape != wanted[name].shape or array.dtype != wanted[name].dtype:
            raise InputError(
                f"input '{name}' on the GPU has the shape {array.shape} and elements of type {array.dtype}, expected "
                f"{wanted[name].shape} and {wanted[name].dtype}",
                hint="it is read as it is: convert it on the GPU",
            )


def check_bindable(arrays: Mapping[str, DeviceArray], batch: Batch) -> None:
    """See that the engine can read arrays where they are.

    Raises:
        InputError: as `checked`, or an address is not aligned.
    """
    checked(arrays, batch)
    for name, array in arrays.items():
        if array.address % ALIGNMENT:
            raise InputError(
                f"input '{name}' begins at the address {array.address:#x}, which TensorRT takes only where it is a "
                f"multiple of {ALIGNMENT}",
                hint="bind an array that begins an allocation; without binding, any is taken, for one copy",
            )


def check_reach(arrays: Mapping[str, DeviceArray], device: CudaDevice) -> None:
    """See that arrays which are to be read in place are in this GPU's memory: a kernel that reads what was freed, or
    what another GPU has, fails, and with it all that the process has on the GPU.

    Raises:
        InputError: one is not.
    """
    for name, array in arrays.items():
        found = device.driver.gpu_of(array.address)
        if found != device.ordinal:
            where = "in no memory that the driver knows" if found is None else f"in the memory of GPU {found}"
            raise InputError(
                f"input '{name}' begins at the address {array.address:#x}, {where}, and the session is on GPU "
                f"{device.ordinal}",
                hint="keep the array as long as it is used; GpuSettings(ordinal=...) opens the session on its GPU",
            )


def bound_inference(lane: Lane, key: Key) -> Inference:
    """The inference of this lane that reads its inputs at these addresses; made where it is not there."""
    name = ("bound", key)
    return lane.known(key[0], name) or lane.inference(key[0], key=name, addresses=dict(key[1]))


def start(lane: Lane, batch: Batch, feeds: Mapping[str, npt.NDArray[Any] | DeviceArray], bound: Container[Key]) -> None:
    """Put an inference on the lane's stream for inputs of which some are in the GPU's memory.

    Raises:
        InputError: one of those has another shape or type than the engine reads.
        EngineIncompatible, DeviceError: TensorRT or the driver refused.
    """
    arrays = {name: value for name, value in feeds.items() if isinstance(value, DeviceArray)}
    checked(arrays, batch)
    for name, array in batch.inputs:
        value = feeds[name]
        if not isinstance(value, DeviceArray):
            array[...] = value
    wait_for_producers(lane, arrays.values())
    key = key_of(arrays, batch)
    if key in bound:
        inference = bound_inference(lane, key)
        lane.counters["bound"] += len(arrays)
    else:
        for name, value in arrays.items():
            lane.stream.copy_between(batch.addresses[name], value.address, value.nbytes)
        inference = copied_inference(lane, batch, arrays)
        lane.counters["copied"] += len(arrays)
    lane.launch(inference)


def copied_inference(lane: Lane, batch: Batch, arrays: Mapping[str, DeviceArray]) -> Inference:
    """The inference of this lane into whose inputs those arrays are copied beforehand."""
    others = tuple(name for name, _ in batch.inputs if name not in arrays)
    name = ("copied", others)
    found = lane.known(batch.size, name)
    if found is not None:
        return found
    return lane.inference(batch.size, key=name, addresses={}, before=batch.copy_in(others) or _nothing)


def wait_for_producers(lane: Lane, arrays: Iterable[DeviceArray]) -> None:
    """Have the lane's stream wait for those streams behind which the arrays are ready."""
    for stream in {array.stream for array in arrays if array.stream is not None}:
        lane.wait_for(stream)


def _nothing(stream: object) -> None:
    """Before an engine whose inputs are all there."""
