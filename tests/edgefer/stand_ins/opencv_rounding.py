"""How far OpenCV's bilinear interpolation may be from the exact one."""

from __future__ import annotations

from typing import Any


def most_levels(cv2: Any, counts: bool = False) -> float:
    """The largest difference from exact arithmetic of what a view shows of noise: in levels of 8 bits, or in counts of
    16 bits where neighbours differ by up to 3,000.

    From 5 on OpenCV interpolates to the rounding: half a level as samples are taken, as they are averaged, and as
    colour becomes grey. Earlier releases have weights in steps of a 32nd, which is 3 % of the difference between
    neighbours.
    """
    if int(cv2.__version__.split(".")[0]) >= 5:
        return 1.6
    return 90.0 if counts else 8.0
