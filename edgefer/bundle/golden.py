"""Golden inputs: what a bundle carries so that any machine can check its engine against known answers.

Inputs are stored as 8-bit codes, a quarter of the size of floats and exact: every machine decodes the same float32
values from them. A float32 member is taken as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import BundleError

if TYPE_CHECKING:
    from edgefer.bundle.container import Bundle

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def decode(stored: npt.NDArray[np.generic], spec: InputSpec) -> Floats:
    """The tensor (count, C, H, W) or (count, K) float32 that the graph is fed, from what is stored.

    A uint8 code c of an image input stands for lo + c (hi - lo) / 255 in the input's `range`, then (x - mean) / std.

    Raises:
        BundleError: `stored` is neither float32 nor uint8 codes of an image input.
    """
    if stored.dtype == np.float32:
        return np.ascontiguousarray(stored, dtype=np.float32)
    image = spec.image
    if stored.dtype != np.uint8 or image is None:
        raise BundleError(
            f"golden input '{spec.name}' has dtype {stored.dtype}, expected float32, or uint8 for an image input",
            hint="The bundle was written by something else than edgefer; build it again.",
        )
    low, high = image.range
    values = np.float32(low) + stored.astype(np.float32) * np.float32((high - low) / 255.0)
    return np.ascontiguousarray(normalised(values, spec), dtype=np.float32)


def normalised(values: Floats, spec: InputSpec) -> Floats:
    """(x - mean) / std of values (count, C, H, W) in an image's `range`, in place; of any other input as they are."""
    image = spec.image
    if image is not None and image.mean:
        values -= np.asarray(image.mean, dtype=np.float32)[None, :, None, None]
    if image is not None and image.std:
        values /= np.asarray(image.std, dtype=np.float32)[None, :, None, None]
    return values


def encode(tensors: Floats, spec: InputSpec) -> npt.NDArray[np.generic]:
    """The nearest codes (uint8) of the tensors of an image input; those of any other input, unchanged."""
    image = spec.image
    if image is None:
        return tensors
    values = tensors.astype(np.float32, copy=True)
    if image.std:
        values *= np.asarray(image.std, dtype=np.float32)[None, :, None, None]
    if image.mean:
        values += np.asarray(image.mean, dtype=np.float32)[None, :, None, None]
    low, high = image.range
    codes: Floats = np.rint((values - np.float32(low)) * np.float32(255.0 / (high - low)))
    return np.clip(codes, 0, 255).astype(np.uint8)


def golden_feeds(bundle: Bundle, inputs: tuple[InputSpec, ...]) -> dict[str, Floats]:
    """The decoded golden inputs by input name, each (count, ...); empty where the bundle has none."""
    golden = bundle.manifest.golden
    if golden is None:
        return {}
    specs = {spec.name: spec for spec in inputs}
    return {name: decode(bundle.array(member), specs[name]) for name, member in golden.inputs.items() if name in specs}
