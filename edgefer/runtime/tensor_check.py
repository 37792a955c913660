"""One tensor held against one input: type, shape, finite values, on the host or in GPU memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import InputError
from edgefer.runtime.device_array import DeviceArray, device_array

Tensor = npt.NDArray[np.float32]
Check = Callable[[object, InputSpec, tuple[int, ...]], Any]
"""`checked_tensor` or `checked_anywhere`: a tensor that is as it must be, or an InputError."""

_INFINITY = np.float32(np.inf).view(np.uint32)


def checked_tensor(value: object, spec: InputSpec, shape: tuple[int, ...]) -> Tensor:
    """`value` as a contiguous float32 array.

    Raises:
        InputError: it is no array, or not of this shape, or not float32, or holds NaN or infinity, or is in GPU memory.
    """
    if not isinstance(value, np.ndarray):
        raise _no_host_array(value, spec, shape)
    _check_kind(value.dtype, value.shape, spec, shape)
    if not value.flags.c_contiguous:
        value = np.ascontiguousarray(value)
    if not _finite(value):
        nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        raise InputError(
            f"input '{spec.name}' holds {nan} NaN and {infinite} infinite values among {value.size}",
            hint="look at what made the tensor: a division by zero, an uninitialised buffer",
        )
    return value


def checked_anywhere(value: object, spec: InputSpec, shape: tuple[int, ...]) -> Tensor | DeviceArray:
    """`checked_tensor` for a runner that reads GPU memory: an array there is checked in all but its contents, which
    nobody can look at from here.

    Raises:
        InputError: as `checked_tensor`; or an array in GPU memory is not contiguous, or not of this shape and float32.
    """
    found = None if isinstance(value, np.ndarray) else device_array(value, spec.name)
    if found is None:
        return checked_tensor(value, spec, shape)
    _check_kind(found.dtype, found.shape, spec, shape)
    return found


def _check_kind(dtype: np.dtype[Any], found: tuple[int, ...], spec: InputSpec, shape: tuple[int, ...]) -> None:
    if dtype != np.float32:
        raise InputError(
            f"input '{spec.name}' has elements of type {dtype}, expected float32", hint=_hint_of_type(dtype)
        )
    if found != shape:
        raise InputError(
            f"input '{spec.name}' has the shape {found}, expected {shape}", hint=_hint_of_shape(found, shape)
        )


def _no_host_array(value: object, spec: InputSpec, shape: tuple[int, ...]) -> InputError:
    kind = f"{type(value).__module__}.{type(value).__name__}"
    if device_array(value, spec.name) is not None:
        return InputError(
            f"input '{spec.name}' is a {kind} in GPU memory, and this session runs on the CPU",
            hint="copy it to the host, with .cpu().numpy() in PyTorch or .get() in CuPy and PyCUDA; or open the "
            "session with device='tensorrt'",
        )
    return InputError(
        f"input '{spec.name}' is a {kind}, expected a NumPy array of float32 with the shape {shape}",
        hint="np.asarray(value, np.float32); a torch tensor has .numpy()",
    )


def _finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite, in one pass and no memory for the tensors that come from images."""
    # As unsigned integers, the patterns of all positive finite numbers lie below that of infinity, and everything
    # else lies above it. Their maximum is the quickest pass over memory that NumPy has.
    if value.size == 0 or value.reshape(-1).view(np.uint32).max() < _INFINITY:
        return True
    # With negative values: a sum is finite only if every term is. einsum neither starts threads, as a dot product may,
    # nor warns of an overflow, after which each value is tested.
    return math.isfinite(np.einsum("i->", value.reshape(-1))) or bool(np.isfinite(value).all())


def _hint_of_type(dtype: np.dtype[Any]) -> str:
    if dtype in (np.uint8, np.uint16):
        return "Session.infer_images takes images and does the pre-processing"
    if dtype.kind in "fiub":
        return "convert it with .astype(np.float32)"
    return ""


def _hint_of_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if found == expected[1:]:
        return "add the batch axis: x[None]"
    if len(found) != len(expected):
        return ""
    if found[1:] == expected[1:]:
        return "Session.infer takes one example; Session.infer_batch takes a list of them"
    if len(expected) != 4:
        return ""
    if found == (expected[0], *expected[2:], expected[1]):
        return "the channels come first: x.transpose(0, 3, 1, 2)"
    if found[1] != expected[1]:
        return f"it has {found[1]} channels and the network takes {expected[1]}"
    return f"resize it to {expected[2]}x{expected[3]}, as Session.infer_images does"
