"""The one measure by which two computations of the same thing are compared, on the host and on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def relative_error(found: Array, reference: Array) -> float:
    """max|found - reference| / max(1, max|reference|), in float64.

    Not a number or infinity in either gives infinity, so that no comparison with a bound lets it pass.

    Raises:
        ValueError: the shapes differ.
    """
    if found.shape != reference.shape:
        raise ValueError(f"shapes differ: {found.shape} and {reference.shape}")
    if found.size == 0:
        return 0.0
    exact = reference.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype(np.float64) - exact).max()
        error = float(difference / max(1.0, float(np.abs(exact).max())))
    return error if np.isfinite(error) else float("inf")
