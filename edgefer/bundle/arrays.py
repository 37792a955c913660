"""Arrays as `.npy`, read without pickle and with nothing allocated before the sizes agree.

The header of the format is a Python literal. It is matched here against the one form that NumPy writes, not evaluated:
`numpy.load` falls back to Python's tokenizer on headers that it does not understand.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.errors import BundleError

MAX_HEADER_BYTES = 4096
MAX_AXES = 8
KINDS = ("float32", "float16", "float64", "bool", "int8", "uint8", "uint16", "int32", "int64")

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][A-Za-z][0-9]{0,3})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9]{1,19}(?:, ?[0-9]{1,19})*,?|)\), ?\} *\n?"
)


def encode_array(array: npt.NDArray[Any]) -> bytes:
    """The array in NumPy's `.npy` format, version 1.0, row-major."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def decode_array(data: bytes, name: str) -> npt.NDArray[Any]:
    """The array in `data`, as a read-only view of it; `name` is for messages.

    Raises:
        BundleError: not `.npy`, a header above `MAX_HEADER_BYTES`, a type other than `KINDS`, more than `MAX_AXES`
            axes, or not as many bytes as shape and type need.
    """
    kind, fortran, shape, offset = _header(data, name)
    known = {np.dtype(each).str: np.dtype(each) for each in KINDS}
    if kind not in known:
        raise BundleError(f"member '{name}' holds elements of type {kind}, expected one of {', '.join(known)}")
    dtype = known[kind]
    if len(shape) > MAX_AXES:
        raise BundleError(f"member '{name}' has {len(shape)} axes, expected at most {MAX_AXES}")
    expected = math.prod(shape) * dtype.itemsize
    if len(data) - offset != expected:
        raise BundleError(
            f"member '{name}' has {len(data) - offset} bytes of elements, its shape {shape} and type {kind} "
            f"need {expected}"
        )
    try:
        return np.frombuffer(data, dtype=dtype, offset=offset).reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:  # no elements, but an axis longer than NumPy can count
        raise BundleError(f"member '{name}' has the shape {shape}, which no array can have") from error


def _header(data: bytes, name: str) -> tuple[str, bool, tuple[int, ...], int]:
    """Type, whether in column order, shape, and where the elements begin."""
    version = data[6:8]
    if data[:6] != _MAGIC or version not in (b"\x01\x00", b"\x02\x00"):
        raise BundleError(f"member '{name}' is not an array in .npy format, version 1.0 or 2.0")
    begin = 10 if version == b"\x01\x00" else 12
    length = int.from_bytes(data[8:begin], "little")
    if length > MAX_HEADER_BYTES:
        raise BundleError(f"member '{name}' has a header of {length} bytes, more than {MAX_HEADER_BYTES}")
    found = _HEADER.fullmatch(data[begin : begin + length])
    if found is None:
        raise BundleError(f"member '{name}' has a header that is not of the form that NumPy writes")
    kind, fortran, axes = (part.decode("ascii") for part in found.groups())
    return kind, fortran == "True", tuple(int(axis) for axis in axes.replace(",", " ").split()), begin + length
