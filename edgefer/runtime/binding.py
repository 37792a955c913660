"""From what a caller passes to what a graph is fed: names, shapes, types, finite values, missing cameras."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.bundle.semantics import CAMERAS
from edgefer.errors import InputError

Tensor = npt.NDArray[np.float32]

_INFINITY = np.float32(np.inf).view(np.uint32)


@dataclass(frozen=True)
class Bound:
    """The feeds of one example, by input name, and the cameras that were given."""

    feeds: dict[str, Tensor]
    modalities: tuple[str, ...]


class Binder:
    """Checks the tensors of one example against a graph and completes them. Holds no state that a call changes."""

    def __init__(self, graph: GraphSpec) -> None:
        self._specs = graph.inputs
        self._by_role = {spec.role: spec for spec in graph.inputs if spec.role != "other"}
        # A name wins over a role: a foreign graph may use a role's word for another input.
        self._by_key = {
            **{str(role): spec for role, spec in self._by_role.items()},
            **{s.name: s for s in graph.inputs},
        }
        self._shapes = {spec.name: (1, *spec.shape[1:]) for spec in graph.inputs}
        self._mask = self._by_role.get("present")
        self._cameras = tuple(role for role in CAMERAS if role in self._by_role)
        self._zeros = {spec.name: _read_only(np.zeros(self._shapes[spec.name], np.float32)) for spec in graph.inputs}

    def bind(self, tensors: Mapping[str, object]) -> Bound:
        """The feeds for tensors (1, C, H, W) float32 by input name or role.

        A camera that is missing is zeros with a 0 in the mask where the graph takes one.

        Raises:
            InputError: a tensor is unknown, given twice, missing, or not of the right type and shape and finite.
        """
        return self._complete(self._checked(tensors))

    def bind_preprocessed(self, tensors: dict[str, Tensor]) -> Bound:
        """`bind` for what a `Preprocessor` has made, by input name: it is of the right kind and need not be read again.

        Raises:
            InputError: a camera is missing.
        """
        return self._complete(tensors)

    def _checked(self, tensors: Mapping[str, object]) -> dict[str, Tensor]:
        feeds: dict[str, Tensor] = {}
        for key, value in tensors.items():
            spec = self._by_key.get(key)
            if spec is None:
                raise InputError(f"the network has no input '{key}'", hint=f"it has: {self._listed()}")
            if value is None:
                continue
            if spec.name in feeds:
                raise InputError(f"input '{spec.name}' is given twice, by its name and by its role '{spec.role}'")
            feeds[spec.name] = checked_tensor(value, spec, self._shapes[spec.name])
        return feeds

    def _complete(self, feeds: dict[str, Tensor]) -> Bound:
        if self._mask is None and len(feeds) == len(self._specs):
            return Bound(feeds, self._cameras)
        given = {role for role in self._cameras if self._by_role[role].name in feeds}
        for spec in self._specs:
            replaceable = spec.role == "present" or (self._mask is not None and spec.role in self._cameras)
            if spec.name not in feeds and not replaceable:
                raise InputError(
                    f"input '{spec.name}' ({spec.role}) is missing",
                    hint="this network takes no mask of missing cameras: it needs all of its inputs"
                    if spec.role in CAMERAS
                    else f"it has: {self._listed()}",
                )
        if self._mask is None:
            return Bound(feeds, self._cameras)
        if self._cameras and not given:
            names = " and ".join(f"'{self._by_role[role].name}'" for role in self._cameras)
            raise InputError(f"the inputs {names} are all missing; at least one camera is needed")
        mask = _checked_mask(self._mask.name, feeds.get(self._mask.name), given)
        for role in self._cameras:
            name = self._by_role[role].name
            feeds.setdefault(name, self._zeros[name])
        feeds[self._mask.name] = mask
        used = tuple(role for role in self._cameras if mask[0, CAMERAS.index(role)])
        return Bound(feeds, used)

    def _listed(self) -> str:
        return ", ".join(f"{spec.name} ({spec.role}) {self._shapes[spec.name]}" for spec in self._specs)


def _checked_mask(name: str, mask: Tensor | None, given: Collection[str]) -> Tensor:
    """The caller's mask where it agrees with the cameras given; without one, that which says which were."""
    implied = np.array([[float(role in given) for role in CAMERAS]], np.float32)
    if mask is None:
        return implied
    if not np.isin(mask, (0.0, 1.0)).all() or not mask.any():
        raise InputError(f"input '{name}' is {mask.tolist()}, expected 0 or 1 for each of {CAMERAS}, not both 0")
    for column, role in enumerate(CAMERAS):
        if mask[0, column] > implied[0, column]:
            raise InputError(f"input '{name}' says that '{role}' is present, which is missing")
    return mask


def checked_tensor(value: object, spec: InputSpec, shape: tuple[int, ...]) -> Tensor:
    """`value` as a contiguous float32 array.

    Raises:
        InputError: it is no array, or not of this shape, or not float32, or holds NaN or infinity.
    """
    if not isinstance(value, np.ndarray):
        raise InputError(
            f"input '{spec.name}' is a {type(value).__module__}.{type(value).__name__}, expected a NumPy array of "
            f"float32 with the shape {shape}",
            hint="np.asarray(value, np.float32); a torch tensor has .numpy()",
        )
    if value.dtype != np.float32:
        raise InputError(
            f"input '{spec.name}' has elements of type {value.dtype}, expected float32", hint=_hint_of_type(value.dtype)
        )
    if value.shape != shape:
        raise InputError(
            f"input '{spec.name}' has the shape {value.shape}, expected {shape}",
            hint=_hint_of_shape(value.shape, shape),
        )
    if not value.flags.c_contiguous:
        value = np.ascontiguousarray(value)
    if not _finite(value):
        nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        raise InputError(
            f"input '{spec.name}' holds {nan} NaN and {infinite} infinite values among {value.size}",
            hint="look at what made the tensor: a division by zero, an uninitialised buffer",
        )
    return value


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


def _read_only(array: Tensor) -> Tensor:
    array.flags.writeable = False
    return array
