"""A picture with its caption, and what all pictures of a benchmark share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgefer.benchmark.show.screen import Screen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = ("accent", "fp32", "fp16", "warm", "rose", "sky")
MARKERS = ("o", "s", "^", "D", "v", "P")

PRECISIONS = {"int8": "int8", "fp16": "fp16", "bf16": "sky", "fp32": "fp32"}

_WIDE_RANGE = 6.0  # a ratio of largest to smallest from which an axis is logarithmic


@dataclass(frozen=True)
class Drawing:
    """`caption` says what it shows, `note` how to read it. Half-wide ones stand in pairs."""

    caption: str
    svg: str
    note: str = ""
    wide: bool = True


def colour_of(precision: str) -> str:
    """The name of the colour of a precision."""
    return PRECISIONS.get(precision.lower(), "rose")


def spans_magnitudes(low: float, high: float) -> bool:
    """Whether values from `low` to `high` want a logarithmic axis."""
    return low > 0 and high / low > _WIDE_RANGE


def label(text: str, longest: int = 36) -> str:
    """A name from outside as a label: in one line, without control characters, its middle cut where it is too long."""
    clean = Screen().safe(text)
    if len(clean) <= longest:
        return clean
    head = (longest - 1) // 3
    return f"{clean[:head]}…{clean[len(clean) - (longest - 1 - head) :]}"


def plain_ticks(axes: Axes, which: str, *, decades: bool = False) -> None:
    """Numbers on an axis as one writes them; on a logarithmic one at 1, 2 and 5 of each decade, or only at its 1."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(base=10, subs=(1.0,) if decades or high / low > 500 else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(nbins=8 if which == "x" else 4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:,g}".replace("-", "\u2212").replace(",", "\u202f"))


def spread(places: Sequence[float], least: float) -> list[float]:
    """The places moved apart so that neighbours are at least `least` away from each other, in the order given."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [places[index] for index in order]
    for _ in range(60):
        for index in range(1, len(moved)):
            lack = least - (moved[index] - moved[index - 1])
            if lack > 0:
                moved[index - 1] -= lack / 2
                moved[index] += lack / 2
    result = [0.0] * len(places)
    for index, place in zip(order, moved, strict=True):
        result[index] = place
    return result


def end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]], size: float = 8.5) -> None:
    """Names of lines at the right of the axes, beside where each ends, moved apart where they would overlap.

    Args:
        ends: for each line the last value, its name and its colour.
    """
    from edgefer.page.svg import COLOURS

    height = axes.bbox.height * 72 / axes.figure.dpi
    heights = [
        axes.transAxes.inverted().transform(axes.transData.transform((axes.get_xlim()[1], value)))[1]
        for value, _, _ in ends
    ]
    for place, (_, name, colour) in zip(spread(heights, 1.25 * size / height), ends, strict=True):
        axes.text(1.01, place, name, transform=axes.transAxes, va="center", color=COLOURS[colour], fontsize=size)
