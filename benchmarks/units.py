"""Durations as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three digits in the largest unit that leaves a whole number in front."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
