"""Curves as arrays of points: closed splines, bands of varying width, arcs."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


@functools.lru_cache(maxsize=32)
def _closed_spline_matrix(controls: int, steps: int) -> Points:
    matrix = np.zeros((controls * steps, controls))
    for segment in range(controls):
        for step in range(steps):
            t = step / steps
            weights = (
                -0.5 * t + t * t - 0.5 * t**3,
                1.0 - 2.5 * t * t + 1.5 * t**3,
                0.5 * t + 2.0 * t * t - 1.5 * t**3,
                -0.5 * t * t + 0.5 * t**3,
            )
            for offset, weight in enumerate(weights):
                matrix[segment * steps + step, (segment + offset - 1) % controls] += weight
    return matrix


def closed_spline(controls: Points, steps: int = 4) -> Points:
    """A closed uniform Catmull-Rom spline through (K, 2) control points: (K * steps, 2)."""
    return _closed_spline_matrix(len(controls), steps) @ controls


def quadratic(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float], n: int) -> Points:
    """n points of the parabola that passes the three points at parameter 0, 1/2 and 1."""
    points: Points = _parabola_basis(n) @ np.array((first, middle, last))
    return points


@functools.lru_cache(maxsize=16)
def _parabola_basis(n: int) -> Points:
    t = np.linspace(0.0, 1.0, n)
    return np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], 1)


def band(centre: Points, width: Points) -> Points:
    """The polygon along an open curve (K, 2) with a half width per point, thick along the vertical: (2K, 2)."""
    upper, lower = centre.copy(), centre.copy()
    upper[:, 1] -= width
    lower[:, 1] += width
    return np.concatenate([upper, lower[::-1]])


def between(x: Points, upper: Points, lower: Points) -> Points:
    """The polygon between two curves over the same x: (2K, 2)."""
    return np.concatenate([np.stack([x, upper], 1), np.stack([x[::-1], lower[::-1]], 1)])


@functools.lru_cache(maxsize=8)
def _unit_circle(n: int) -> Points:
    angle = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, n: int = 16) -> Points:
    """n points of an ellipse."""
    return _unit_circle(n) * (radius_x, radius_y) + (x, y)
