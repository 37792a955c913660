"""Accuracy against latency, the size as the area: what can be had for what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgefer.benchmark.show.plots.drawing import Drawing, colour_of, label, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import percent, sizes, times
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Box: TypeAlias = tuple[float, float, float, float]  # left, bottom, right, top in points

_MARKERS = {"int8": "o", "fp16": "^", "fp32": "s"}


@dataclass(frozen=True)
class Candidate:
    """A bundle on this machine: accuracy as a share, p50 in seconds, size in bytes."""

    name: str
    precision: str
    accuracy: float
    latency: float
    size: int


def best(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those for which none is both faster and more accurate, fastest first."""
    kept: list[Candidate] = []
    for each in sorted(candidates, key=lambda each: (each.latency, -each.accuracy)):
        if not kept or each.accuracy > kept[-1].accuracy:
            kept.append(each)
    return tuple(kept)


def frontier(ident: str, candidates: Sequence[Candidate]) -> Drawing | None:
    """The candidates and the line of the best; None where there are fewer than two."""
    if len(candidates) < 2:
        return None
    return Drawing(
        "Accuracy, latency and size",
        _frontier(ident, candidates),
        "Up and to the left is better; the area is the size of the bundle. The line joins those that none beats in "
        "both accuracy and latency.",
    )


@styled
def _frontier(ident: str, candidates: Sequence[Candidate]) -> str:
    figure, axes = new_axes(3.9)
    scale = times([each.latency for each in candidates])
    xs = [each.latency / scale.unit_size for each in candidates]
    ys = [100 * each.accuracy for each in candidates]
    logarithmic = spans_magnitudes(min(xs), max(xs))
    axes.set_xscale("log" if logarithmic else "linear")
    room = max(0.25 * (max(ys) - min(ys)), 0.15)
    axes.set_ylim(min(ys) - room, min(max(ys) + room, 100 + room / 4))
    axes.set_xlim((min(xs) / 1.4, max(xs) * 1.9) if logarithmic else (0, max(xs) * 1.25))
    line = best(candidates)
    steps = [each.latency / scale.unit_size for each in line], [100 * each.accuracy for each in line]
    axes.plot(*steps, drawstyle="steps-post", color=COLOURS["muted"], linewidth=1.1, linestyle=(0, (4, 2)), zorder=1)
    largest = max(each.size for each in candidates) or 1
    precisions = list(dict.fromkeys(each.precision.lower() for each in candidates))
    for precision in precisions:
        mine = [each for each in candidates if each.precision.lower() == precision]
        axes.scatter(
            [each.latency / scale.unit_size for each in mine], [100 * each.accuracy for each in mine],
            s=[max(14.0, 520 * each.size / largest) for each in mine], marker=_MARKERS.get(precision, "D"), alpha=0.75,
            color=COLOURS[colour_of(precision)], linewidth=0, label=label(precision, 12).upper(), zorder=2,
        )  # fmt: skip
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel(f"latency, p50 ({scale.unit})")
    axes.set_ylabel("accuracy (%)")
    axes.grid()
    bare(axes)
    legend = axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.0, handletextpad=0.3)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([46])
    figure.subplots_adjust(left=0.075, right=0.985, top=0.92, bottom=0.13)
    _label(axes, candidates, xs, ys, largest)
    return inline_svg(figure, ident, "Accuracy over latency, with the size as the area")


def _label(axes: Axes, candidates: Sequence[Candidate], xs: Sequence[float], ys: Sequence[float], largest: int) -> None:
    """Names to the right of their marks, or wherever around them the least is in the way."""
    megabytes = sizes([])
    points = axes.transData.transform(list(zip(xs, ys, strict=True))) * 72 / axes.figure.dpi
    radii = [max(14.0, 520 * each.size / largest) ** 0.5 / 2 for each in candidates]
    taken: list[_Box] = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(points, radii, strict=True)]
    corners = [points[candidates.index(each)] for each in best(candidates)]
    for (x, y), (next_x, next_y) in itertools.pairwise(corners):
        taken += [(x, y - 2, next_x, y + 2), (next_x - 2, y, next_x + 2, next_y)]
    for index, each in enumerate(candidates):
        (x, y), radius = points[index], radii[index]
        name, detail = label(each.name, 30), f"{percent(each.accuracy, 2)}, {megabytes.with_unit(each.size)}"
        width, height = 4.6 * max(len(name), len(detail)), 21.0
        right, left = x + radius + 4, x - radius - width - 4
        spots = [
            (right, y - height / 2),
            *((x - width / 2, bottom) for bottom in (y - radius - height - 3, y + radius + 3)),
            *((right, y + shift * height) for shift in (-1.3, 0.3, -2.1, 1.1)),
            (left, y - height / 2),
        ]
        boxes = [(at, bottom, at + width, bottom + height) for at, bottom in spots]
        costs = [sum(_overlap(box, other) for other in taken) for box in boxes]
        chosen = boxes[costs.index(min(costs))]
        taken.append(chosen)
        axes.annotate(
            f"{name}\n{detail}",
            (xs[index], ys[index]),
            xytext=(chosen[0] - x, chosen[1] - y),
            textcoords="offset points",
            fontsize=8,
            linespacing=1.15,
            va="bottom",
            color=COLOURS["ink"],
        )


def _overlap(a: _Box, b: _Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)
