"""Values to try a graph on of which nothing is known but names, types and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from edgefer.bundle.golden import normalised
from edgefer.bundle.manifest import InputSpec
from edgefer_export.foreign.inputs import FileInput

Whole = Literal["mixed", "ones", "zeros"]
"""What integer inputs are tried with: 0 and 1 at random, or one of them throughout. An index or a shape among the
inputs makes the others impossible."""
WHOLE: tuple[Whole, ...] = ("mixed", "ones", "zeros")

Arrays = dict[str, npt.NDArray[np.float32]]


def values(
    spec: InputSpec, entry: FileInput, count: int, rng: np.random.Generator, whole: Whole
) -> npt.NDArray[np.float32]:
    """`count` examples of one input: what images become where it is one, else in 0..1, or whole numbers."""
    shape = (count, *spec.shape[1:])
    low, high = spec.image.range if spec.image is not None else (0.0, 1.0)
    drawn: npt.NDArray[Any] = low + (high - low) * rng.random(shape)
    if entry.integer and spec.image is not None:
        drawn = np.floor(drawn)
    elif entry.integer:
        drawn = {"mixed": np.rint(drawn), "ones": np.ones(shape), "zeros": np.zeros(shape)}[whole]
    if entry.element == TensorProto.FLOAT16 and spec.image is None:
        drawn = drawn.astype(np.float16)
    return normalised(drawn.astype(np.float32), spec)


def random_tensors(
    specs: tuple[InputSpec, ...], entries: Mapping[str, FileInput], seed: int, batch: int, whole: Whole
) -> Arrays:
    """`batch` examples of every input; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return {spec.name: values(spec, entries[spec.name], batch, rng, whole) for spec in specs}
