"""Ratios with their intervals beside each other, against a line at 1."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.result import Ratio
from edgefer.benchmark.show.plots.drawing import Drawing, label
from edgefer.benchmark.show.quantity import number
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

_LOOKS = {"faster": ("accent", "o"), "slower": ("warm", "D"), "within noise": ("muted", "s")}
_UNFAIR = ("muted", "x")
_ROOM = 1.5
_TICKS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.25,
    0.33,
    0.5,
    0.67,
    0.8,
    0.9,
    1.0,
    1.1,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    10.0,
    20.0,
    50.0,
)


def forest(
    ident: str, caption: str, ratios: Sequence[tuple[str, Ratio, str]], sides: tuple[str, str]
) -> Drawing | None:
    """One line for each ratio.

    Args:
        ident: unique on the page.
        caption: what is compared.
        ratios: each with its name and the word for it.
        sides: what a ratio below 1 means, and one above.
    """
    if not ratios:
        return None
    return Drawing(caption, _forest(ident, ratios, sides), "Bars: the interval of the ratio of medians.")


@styled
def _forest(ident: str, ratios: Sequence[tuple[str, Ratio, str]], sides: tuple[str, str]) -> str:
    figure, axes = new_axes(0.30 * len(ratios) + 0.75)
    rows = list(range(len(ratios)))[::-1]
    low, high = _range([ratio for _, ratio, _ in ratios])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(-0.7, len(ratios) - 0.3)
    axes.axvline(1.0, color=COLOURS["ink"], linewidth=1.1)
    margin = axes.get_yaxis_transform()
    for row, (_, ratio, word) in zip(rows, ratios, strict=True):
        colour, marker = _LOOKS.get(word, _UNFAIR)
        interval = ratio.interval
        inset = (high / low) ** 0.015  # an arrow is within the picture, away from names and numbers
        ends = [max(interval.low, low * inset), min(interval.high, high / inset)]
        axes.plot(ends, [row, row], color=COLOURS[colour], linewidth=2.4, solid_capstyle="butt")
        for end, beyond, arrow in zip(ends, (interval.low < low, interval.high > high), "<>", strict=True):
            if beyond:
                axes.plot([end], [row], marker=arrow, color=COLOURS[colour], markersize=6, clip_on=False)
        axes.scatter([ratio.value], [row], s=42, marker=marker, color=COLOURS[colour], zorder=3, linewidth=1.4)
        for offset, text, look in (
            (8, number(ratio.value, 3), {"fontweight": "bold"}),
            (
                46,
                f"{number(interval.low, 3)} to {number(interval.high, 3)}",
                {"color": COLOURS["muted"], "fontsize": 8.5},
            ),
            (126, word, {"color": COLOURS[colour]}),
        ):
            axes.annotate(
                text, (1.0, row), xycoords=margin, xytext=(offset, 0), textcoords="offset points", va="center", **look
            )
    axes.set_yticks(rows, [label(name, 42) for name, _, _ in ratios])
    axes.set_xticks(_ticks(low, high), [f"{tick:g}" for tick in _ticks(low, high)])
    axes.minorticks_off()
    for side, text, at in (("right", f"← {sides[0]}", -5), ("left", f"{sides[1]} →", 5)):
        axes.annotate(text, (1.0, 1.0), xycoords=("data", "axes fraction"), xytext=(at, 2), textcoords="offset points",
                      ha=side, color=COLOURS["muted"], fontsize=8.5)  # fmt: skip
    axes.grid(axis="x")
    bare(axes)
    height = figure.get_figheight()
    left = 0.04 + 0.0075 * max(len(label(name, 42)) for name, _, _ in ratios)
    figure.subplots_adjust(left=left, right=0.69, top=1 - 0.25 / height, bottom=0.3 / height)
    return inline_svg(figure, ident, "Ratios of medians with their intervals")


def _range(ratios: Sequence[Ratio]) -> tuple[float, float]:
    """From the smallest to the largest ratio and 1, with their intervals as far as those leave the rest legible."""
    values = [1.0, *(ratio.value for ratio in ratios)]
    low = max(min(each.interval.low for each in ratios), min(values) / _ROOM)
    high = min(max(each.interval.high for each in ratios), max(values) * _ROOM)
    return min(low / 1.06, min(values) / 1.06, 0.88), max(high * 1.06, max(values) * 1.06, 1.12)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends that leave each other room: one for each eighth of the axis."""
    kept: list[float] = [1.0]
    for tick in sorted((tick for tick in _TICKS if low <= tick <= high), key=lambda tick: abs(tick - 1.0)):
        if all(abs(_position(tick, low, high) - _position(other, low, high)) > 0.07 for other in kept):
            kept.append(tick)
    return sorted(kept)


def _position(value: float, low: float, high: float) -> float:
    from math import log

    return log(value / low) / log(high / low)
