"""From what a caller passes to what a graph is fed: names, shapes, types, finite values, missing cameras."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.bundle.semantics import CAMERAS
from edgefer.errors import InputError
from edgefer.runtime.device_array import DeviceArray
from edgefer.runtime.tensor_check import Check, Tensor, checked_tensor


@dataclass(frozen=True)
class Bound:
    """The feeds of one example, by input name, and the cameras that were given. Feeds are NumPy arrays, or of class
    DeviceArray where the binder lets them through."""

    feeds: dict[str, Any]
    modalities: tuple[str, ...]

    @property
    def on_gpu(self) -> bool:
        """Whether any of it is in GPU memory."""
        return any(isinstance(feed, DeviceArray) for feed in self.feeds.values())


class Binder:
    """Checks the tensors of one example against a graph and completes them. Holds no state that a call changes.

    Args:
        graph: what is to be fed.
        check: what checks each tensor.
    """

    def __init__(self, graph: GraphSpec, check: Check | None = None) -> None:
        self._specs = graph.inputs
        self._check: Check = check or checked_tensor
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

    def specs_of(self, keys: Collection[str]) -> dict[str, InputSpec]:
        """The inputs that are named so, or have that role, by these keys.

        Raises:
            InputError: there is no such input, or one is named twice.
        """
        found: dict[str, InputSpec] = {}
        for key in keys:
            spec = self._by_key.get(key)
            if spec is None:
                raise InputError(f"the network has no input '{key}'", hint=f"it has: {self._listed()}")
            if spec in found.values():
                raise _given_twice(spec)
            found[key] = spec
        return found

    def _checked(self, tensors: Mapping[str, object]) -> dict[str, Any]:
        feeds: dict[str, Any] = {}
        for key, value in tensors.items():
            spec = self._by_key.get(key)
            if spec is None:
                raise InputError(f"the network has no input '{key}'", hint=f"it has: {self._listed()}")
            if value is None:
                continue
            if spec.name in feeds:
                raise _given_twice(spec)
            feeds[spec.name] = self._check(value, spec, self._shapes[spec.name])
        return feeds

    def _complete(self, feeds: dict[str, Any]) -> Bound:
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


def _given_twice(spec: InputSpec) -> InputError:
    return InputError(f"input '{spec.name}' is given twice, by its name and by its role '{spec.role}'")


def _checked_mask(name: str, mask: Tensor | DeviceArray | None, given: Collection[str]) -> Tensor:
    """The caller's mask where it agrees with the cameras given; without one, that which says which were."""
    implied = np.array([[float(role in given) for role in CAMERAS]], np.float32)
    if mask is None:
        return implied
    if isinstance(mask, DeviceArray):
        raise InputError(
            f"input '{name}' says which cameras are there and lies in GPU memory, where it cannot be read",
            hint="give it as a NumPy array; or leave it out, and the cameras that are given are there",
        )
    if not np.isin(mask, (0.0, 1.0)).all() or not mask.any():
        raise InputError(f"input '{name}' is {mask.tolist()}, expected 0 or 1 for each of {CAMERAS}, not both 0")
    for column, role in enumerate(CAMERAS):
        if mask[0, column] > implied[0, column]:
            raise InputError(f"input '{name}' says that '{role}' is present, which is missing")
    return mask


def _read_only(array: Tensor) -> Tensor:
    array.flags.writeable = False
    return array
