"""Views (`edgefer.runtime.view`) as the pre-processing kernel reads them: 64 bytes each, in device memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgefer.runtime.view import MOST_SAMPLES, View, checked, fitted, over_box, samples_of, through

__all__ = ["MOST_SAMPLES", "VIEW", "View", "checked", "fitted", "over_box", "packed", "samples_of", "through"]

VIEW = np.dtype([("to_source", "<f4", 9), ("crop", "<i4", 4), ("samples", "<i4", 2), ("unused", "<i4")])
"""PreprocessView of preprocess_params.h."""


def packed(views: Sequence[View]) -> npt.NDArray[np.float32]:
    """The views as they lie in device memory, (n, 16): 64 bytes each, whole numbers as their bits."""
    memory = np.zeros(len(views), VIEW)
    for place, view in zip(memory, views, strict=True):
        place["to_source"] = view.to_source.reshape(9)
        place["crop"] = view.crop
        place["samples"] = view.samples
    return memory.view(np.float32).reshape(len(views), 16)
