"""Arrays in a GPU's memory, as any library hands them out: PyCUDA, CuPy, PyTorch, Numba.

The protocol is the CUDA Array Interface, versions 2 and 3
(https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html). Nothing is copied and nothing is waited for
here: what comes out is an address, and the stream behind which its contents are ready.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.errors import InputError

LEGACY_DEFAULT_STREAM, PER_THREAD_DEFAULT_STREAM = 1, 2
"""How the protocol, and the driver as a handle, spell the two default streams."""

_VERSIONS = (2, 3)
_CONTIGUOUS = "the elements lie one after the other in C order: .contiguous() in PyTorch, cupy.ascontiguousarray"


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A contiguous array in GPU memory that belongs to somebody else.

    Attributes:
        address: of its first element, in bytes; 0 where it has no elements.
        shape: as NumPy's.
        dtype: likewise, in the byte order of this machine.
        stream: behind whose work so far the contents are ready: 1 the legacy default stream, 2 the per-thread default
            stream, any other number a handle (CUstream); None: they are ready.
        owner: the object that keeps the memory; it stays alive as long as this does.
        read_only: its owner forbids writing to it.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    owner: object
    read_only: bool = False

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def device_array(value: object, name: str) -> DeviceArray | None:
    """What `value` says of its memory on the GPU; None where it is not there.

    Without a word about a stream (version 2, or the entry left out) the contents are taken to be ready behind the
    legacy default stream, in which its library then works unless told otherwise.

    Args:
        value: anything.
        name: the tensor it is for, for messages.

    Raises:
        InputError: it is on a GPU, but not as one contiguous block of numbers, or what it says of itself is not as
            the protocol has it.
    """
    told = _interface(value, name)
    if told is None:
        return None
    version = told.get("version")
    if not isinstance(version, int) or version < _VERSIONS[0]:
        raise InputError(
            f"input '{name}' describes itself by version {version!r} of the CUDA Array Interface, expected "
            f"{' or '.join(map(str, _VERSIONS))}",
            hint="take a newer release of the library that made it",
        )
    if told.get("mask") is not None:
        raise InputError(f"input '{name}' is a masked array", hint="fill what is masked, and pass the data alone")
    shape, dtype = _shape(told.get("shape"), name), _dtype(told.get("typestr"), name)
    _check_strides(told.get("strides"), shape, dtype.itemsize, name)
    address, read_only = _data(told.get("data"), name)
    size: int = math.prod(shape)
    if size and not address:
        raise InputError(f"input '{name}' has the address 0 and the shape {shape}", hint="it was freed, or never made")
    return DeviceArray(address, shape, dtype, _stream(told, name), value, read_only)


def _interface(value: object, name: str) -> Mapping[str, Any] | None:
    try:
        told = getattr(value, "__cuda_array_interface__", None)
    except (RuntimeError, TypeError, ValueError) as error:  # such as a PyTorch tensor that a gradient is kept for
        raise InputError(
            f"input '{name}' refuses to say where it lies in GPU memory: {error}",
            hint="a PyTorch tensor that requires a gradient has .detach()",
        ) from error
    if told is None:
        return None
    if not isinstance(told, Mapping):
        raise InputError(
            f"input '{name}' describes itself by a {type(told).__name__}, and the CUDA Array Interface is a dict"
        )
    return told


def _shape(told: object, name: str) -> tuple[int, ...]:
    if not isinstance(told, Sequence) or isinstance(told, (str, bytes)) or not all(map(_natural, told)):
        raise InputError(f"input '{name}' says that its shape is {told!r}, expected a tuple of whole numbers")
    return tuple(int(axis) for axis in told)


def _natural(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 0


def _dtype(told: object, name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(told) if isinstance(told, str) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in "biuf" or not dtype.isnative:
        raise InputError(
            f"input '{name}' says that its elements are {told!r}, expected numbers in this machine's byte order, such "
            "as '<f4'",
            hint="bfloat16 and other types that NumPy lacks are to be converted to float32",
        )
    return dtype


def _check_strides(told: object, shape: tuple[int, ...], itemsize: int, name: str) -> None:
    """Strides in bytes; those of axes of length 1, and of an array without elements, mean nothing."""
    if told is None or not math.prod(shape):
        return
    if not isinstance(told, Sequence) or len(told) != len(shape):
        raise InputError(f"input '{name}' says that its strides are {told!r}, expected one for each axis of {shape}")
    expected = itemsize
    for axis in reversed(range(len(shape))):
        if shape[axis] != 1 and told[axis] != expected:
            raise InputError(
                f"input '{name}' is not contiguous: it has the shape {shape} and the strides {tuple(told)} in bytes",
                hint=_CONTIGUOUS,
            )
        expected *= shape[axis]


def _data(told: object, name: str) -> tuple[int, bool]:
    """The address, and whether it may not be written to."""
    if isinstance(told, Sequence) and len(told) == 2 and (told[0] is None or _natural(told[0])):
        return int(told[0] or 0), bool(told[1])
    raise InputError(f"input '{name}' says that its data is {told!r}, expected (address, whether it is read-only)")


def _stream(told: Mapping[str, Any], name: str) -> int | None:
    if "stream" not in told:
        return LEGACY_DEFAULT_STREAM
    stream = told["stream"]
    if stream is None:
        return None
    if not _natural(stream) or stream == 0:
        raise InputError(
            f"input '{name}' says that it is ready behind the stream {stream!r}, expected 1 (the legacy default "
            "stream), 2 (the per-thread default stream), a handle, or None",
            hint="0 is ambiguous, and the CUDA Array Interface forbids it",
        )
    return int(stream)
