"""Images as a request brings them, made into what a network is fed: the pre-processing of sessions, for batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import GraphSpec, InputSpec
from edgefer.bundle.semantics import CAMERAS
from edgefer.errors import InputError
from edgefer.runtime.binding import Binder
from edgefer.runtime.preprocess import ColourOrder, Preprocessor, tensors_of
from edgefer.runtime.tensor_check import checked_tensor
from edgefer.runtime.vision import opencv

Tensor = npt.NDArray[np.float32]
Images = npt.NDArray[Any]


class Prepare:
    """Makes the tensors of a graph's cameras, and of its mask where it has one. Holds no state that a call changes.

    Args:
        inputs: the cameras, with `image`, and the mask.
        colour: the order of the channels of images.

    Raises:
        InputError: an input is not one that images can be made into.
        EnvironmentMismatch: OpenCV is not installed.
    """

    def __init__(self, inputs: tuple[InputSpec, ...], colour: ColourOrder) -> None:
        opencv()
        self._colour = colour
        self._binder = Binder(GraphSpec(role="other", member="", inputs=inputs, outputs=()))
        self._cameras = {str(spec.role): Preprocessor(spec) for spec in inputs if spec.role in CAMERAS}
        self._names = {str(spec.role): spec.name for spec in inputs}
        self._mask = next((spec for spec in inputs if spec.role == "present"), None)

    def __call__(self, images: Mapping[str, Images | None], present: Tensor | None = None) -> dict[str, Tensor]:
        """The tensors (N, C, H, W) float32 by role, and under `present` the mask (N, 2) where the graph takes one.

        Args:
            images: (N, H, W) or (N, H, W, C) by role, C 1 or 3, uint8 or uint16; None where a camera is missing.
            present: (N, 2) of 0 and 1, which cameras each example has; None: those whose images are there. Pixels of a
                camera that it says is missing are not looked at.

        Raises:
            InputError: the images are not as above, or of different numbers, or all of an example are missing.
        """
        given = {role: batch for role, batch in images.items() if batch is not None}
        for role in given.keys() - self._cameras.keys():
            raise InputError(f"the network takes no {role} image", hint=f"it takes: {', '.join(self._cameras)}")
        counts = {role: len(batch) if np.ndim(batch) else 0 for role, batch in given.items()}
        if present is not None:
            counts["present"] = len(present)
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise InputError(f"the request has images of {counts or 'no camera'}, expected the same number of each")
        count = next(iter(counts.values()))
        if present is not None and self._mask is not None:
            present = checked_tensor(present, self._mask, (count, len(CAMERAS)))
        rows = [self._example(given, present, row) for row in range(count)]
        return {role: np.concatenate([row[name] for row in rows]) for role, name in self._names.items()}

    def _example(self, given: Mapping[str, Images], present: Tensor | None, row: int) -> dict[str, Tensor]:
        try:
            seen = [role for role in given if present is None or present[row, CAMERAS.index(role)]]
            made = tensors_of([(self._cameras[role], given[role][row]) for role in seen], self._colour)
            tensors = {self._names[role]: tensor for role, tensor in zip(seen, made, strict=True)}
            if present is not None and self._mask is not None:
                tensors[self._mask.name] = present[row : row + 1]
            return self._binder.bind_preprocessed(tensors).feeds
        except InputError as error:
            raise InputError(f"example {row}: {error.message}", hint=error.hint, details=error.details) from error
