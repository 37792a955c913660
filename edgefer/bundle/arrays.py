"""Arrays as `.npy`, read without pickle and with nothing allocated before the sizes agree."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.errors import BundleError

MAX_HEADER_BYTES = 4096
MAX_AXES = 8
KINDS = ("float32", "float16", "float64", "uint8", "uint16", "int32", "int64")


def encode_array(array: npt.NDArray[Any]) -> bytes:
    """The array in NumPy's `.npy` format, version 1.0, row-major."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def decode_array(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in `data`, as a read-only view of it; `name` is for messages.

    Raises:
        BundleError: not `.npy`, a header above `MAX_HEADER_BYTES`, a type other than `KINDS`, more than `MAX_AXES`
            axes, or not as many bytes as shape and type need.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise BundleError(f"member '{name}' is .npy of version {version}, expected 1.0 or 2.0")
        width = 2 if version == (1, 0) else 4
        length = int.from_bytes(data[8 : 8 + width], "little")
        if length > MAX_HEADER_BYTES:
            raise BundleError(f"member '{name}' has a header of {length} bytes, more than {MAX_HEADER_BYTES}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=MAX_HEADER_BYTES)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise BundleError(f"member '{name}' is not an array in .npy format", details=str(error)) from error
    if dtype.name not in KINDS or not dtype.isnative:
        raise BundleError(f"member '{name}' holds elements of type {dtype}, expected one of {', '.join(KINDS)}")
    if len(shape) > MAX_AXES or any(axis < 0 for axis in shape):
        raise BundleError(f"member '{name}' has the shape {shape}, expected at most {MAX_AXES} axes")
    offset, expected = stream.tell(), math.prod(shape) * dtype.itemsize
    if len(data) - offset != expected:
        raise BundleError(
            f"member '{name}' has {len(data) - offset} bytes of elements, its shape {shape} and type {dtype} "
            f"need {expected}"
        )
    flat = np.frombuffer(data, dtype=dtype, offset=offset)
    return flat.reshape(shape, order="F" if fortran else "C")
