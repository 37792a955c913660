"""The text in a TensorRT `PluginField`, also where the bindings lose it.

`PluginField.data` of TensorRT 10.3 to 10.13 repeats a text's first byte as often as the text is long. The structure
behind the Python object still has the address: nvinfer1::PluginField is name, data, type and length, and pybind11 keeps
the address of what an object wraps right behind the object's header.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

_WRAPPER = "pybind11_type"


class _Structure(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("length", ctypes.c_int32),
    )


def text_of(field: Any) -> str:
    """The text of a field of type CHAR, up to the NUL that ends it, if one does."""
    return _bytes_of(field).split(b"\0", 1)[0].decode(errors="replace")


def _bytes_of(field: Any) -> bytes:
    read = np.asarray(field.data).tobytes()
    # A text that ends in NUL is never one byte repeated.
    repeated = len(read) > 1 and len(set(read)) == 1
    return _behind(field) or read if repeated else read


def _behind(field: Any) -> bytes:
    """The bytes at the structure's address; none where what lies there is not the structure of this field."""
    if type(type(field)).__name__ != _WRAPPER:
        return b""
    address = ctypes.c_void_p.from_address(id(field) + object.__basicsize__).value
    if not address:
        return b""
    found = _Structure.from_address(address)
    if (found.type, found.length) != (int(field.type), int(field.size)) or found.name != field.name.encode():
        return b""
    return ctypes.string_at(found.data, found.length)
