"""From a series of readings to the energy of one inference.

The energy of a window is the trapezoid integral of its watts, or the growth of its counter, both interpolated linearly
at the window's edges. What an inference takes is the window's energy less what the machine takes when idle, over the
number of inferences.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgefer.benchmark.power.series import Series, Window
from edgefer.benchmark.result import Power, PowerSample, Rail

# Fewer readings than this in a window do not show how the power moved in it.
FEWEST_SAMPLES = 20
# A rail may skip readings for this share of the window (or three periods, where that is longer).
LONGEST_GAP = 0.1

_Array = npt.NDArray[np.float64]


def energy(times: npt.ArrayLike, values: npt.ArrayLike, window: Window, *, cumulative: bool) -> float:
    """Joules within the window. Outside the readings the nearest one holds (watts) or nothing is added (a counter).

    Args:
        times: ascending, in seconds; at least one.
        values: watts, or joules that grow where `cumulative`.
    """
    at, value = np.asarray(times, np.float64), np.asarray(values, np.float64)
    start, stop = np.interp([window.start, window.stop], at, value)
    if cumulative:
        return float(stop - start)
    inside = (at > window.start) & (at < window.stop)
    x = np.concatenate([[window.start], at[inside], [window.stop]])
    y = np.concatenate([[start], value[inside], [stop]])
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def power(series: Series, *, run: Window, inferences: int, idle: Window | None = None) -> tuple[Power | None, str]:
    """What `inferences` in the window `run` took, and "" or, with None, why that cannot be said.

    A rail that fell silent is left out, with a note; if it was one that the total is made of, there is no result.
    `idle` is a window before the run in which nothing ran; without it there is no energy above idle.
    """
    if inferences < 1 or run.seconds <= 0:
        return None, f"power needs a run: {inferences} inferences in {run.seconds:g} s"
    if series.problem:
        return None, f"power was not sampled to the end: {series.problem}"
    windows = (run,) if idle is None else (idle, run)
    kept = [index for index in range(len(series.rails)) if all(_covers(series, index, each) for each in windows)]
    lost = [rail for index, rail in enumerate(series.rails) if index not in kept]
    broken = [rail.name for rail in lost if rail.total]
    if broken or not kept:
        return None, f"the power of {', '.join(broken) or 'every rail'} was not readable throughout the run"
    rails = tuple(_rail(series, index, run, idle) for index in kept)
    gross = sum(rail.mean for rail in rails if rail.total) * run.seconds
    above = None
    if idle is not None:
        above = gross - sum(rail.idle or 0.0 for rail in rails if rail.total) * run.seconds
    return Power(
        source=series.source,
        rails=rails,
        samples=tuple(PowerSample(at=at, watts=watts) for at, watts in _table(series, kept)),
        inferences=inferences,
        per_inference=None if above is None else above / inferences,
        gross=gross / inferences,
        note=_note(series, kept, run, idle, [rail.name for rail in lost]),
    ), ""


def _readings(series: Series, index: int) -> tuple[_Array, _Array]:
    pairs = [(at, values[index]) for at, values in zip(series.times, series.values, strict=True)]
    known = [(at, value) for at, value in pairs if value is not None]
    return np.array([at for at, _ in known]), np.array([value for _, value in known])


def _watts(series: Series, index: int) -> tuple[_Array, _Array]:
    """Moments and watts. Between two readings of a counter the mean power is put at the middle."""
    at, value = _readings(series, index)
    if not series.cumulative:
        return at, value
    moving = np.diff(at) > 0
    middle, steps, growth = (at[1:] + at[:-1]) / 2, np.diff(at), np.diff(value)
    return middle[moving], growth[moving] / steps[moving]


def _covers(series: Series, index: int, window: Window) -> bool:
    at, _ = _readings(series, index)
    longest = max(LONGEST_GAP * window.seconds, 3 / series.rate)
    edges = [window.start, *(each for each in at if window.start < each < window.stop), window.stop]
    outside = at.size == 0 or at[0] > window.start + longest or at[-1] < window.stop - longest
    return not outside and all(later - earlier <= longest for earlier, later in pairwise(edges))


def _rail(series: Series, index: int, run: Window, idle: Window | None) -> Rail:
    at, value = _readings(series, index)
    mean = energy(at, value, run, cumulative=series.cumulative) / run.seconds
    resting = None if idle is None else energy(at, value, idle, cumulative=series.cumulative) / idle.seconds
    moments, watts = _watts(series, index)
    inside = watts[(moments >= run.start) & (moments <= run.stop)]
    rail = series.rails[index]
    return Rail(
        name=rail.name, idle=resting, mean=mean, peak=float(inside.max()) if inside.size else mean, total=rail.total
    )


def _table(series: Series, indices: Sequence[int]) -> list[tuple[float, tuple[float, ...]]]:
    """The watts of some rails together, at the moments of the first of them."""
    columns = [_watts(series, index) for index in indices]
    moments = columns[0][0]
    aligned = [np.interp(moments, at, watts) for at, watts in columns]
    return [(float(at), tuple(float(column[row]) for column in aligned)) for row, at in enumerate(moments)]


def _note(series: Series, kept: Sequence[int], run: Window, idle: Window | None, lost: Sequence[str]) -> str:
    said = [series.note] if series.note else []
    said.append(
        f"Read {series.rate:g} times a second; each reading took {series.cost * 1e3:.2g} ms, "
        f"{series.cost * series.rate:.2%} of one CPU."
    )
    if lost:
        said.append(f"Left out, since not readable throughout: {', '.join(lost)}.")
    for name, window in (("the run", run), ("idle", idle)):
        count = 0 if window is None else sum(window.start <= at <= window.stop for at in series.times)
        if window is not None and count < FEWEST_SAMPLES:
            said.append(f"Only {count} readings fell in {name}: take the energy as uncertain, or run for longer.")
    if idle is not None:
        doubt = _doubt(series, kept, run, idle)
        if doubt:
            said.append(doubt)
    return " ".join(said)


def _doubt(series: Series, kept: Sequence[int], run: Window, idle: Window) -> str:
    """Whether the total's rise over idle is lost in how much idle itself moved."""
    totals = [index for index in kept if series.rails[index].total]
    samples = [(at, sum(watts)) for at, watts in _table(series, totals)]
    resting = [watts for at, watts in samples if idle.start <= at <= idle.stop]
    loaded = [watts for at, watts in samples if run.start <= at <= run.stop]
    if len(resting) < 2 or not loaded:
        return ""
    rise, spread = float(np.mean(loaded) - np.mean(resting)), float(np.std(resting))
    if rise > 2 * spread:
        return ""
    return (
        f"The rise over idle, {rise:.2g} W, is within twice the spread of idle itself, {spread:.2g} W: the energy "
        "above idle is not told apart from nothing."
    )
