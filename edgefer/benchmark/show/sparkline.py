"""A series in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"


def sparkline(values: Sequence[float | None], *, unicode: bool = True, low: float | None = None) -> str:
    """One character a value, from the smallest (or `low`) to the largest; a space where there is no value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return ""
    levels = BLOCKS if unicode else ASCII
    bottom = min(known) if low is None else low
    height = max(known) - bottom
    return "".join(_character(value, levels, bottom, height) for value in values)


def _character(value: float | None, levels: str, bottom: float, height: float) -> str:
    if value is None or not math.isfinite(value):
        return " "
    share = 0.0 if height <= 0 else (value - bottom) / height
    return levels[max(0, min(len(levels) - 1, int(share * len(levels))))]
