"""The machine's bounds, and how near to them the network and its layers come.

Work per byte against work per second, both on logarithmic scales: after Williams, Waterman, Patterson, "Roofline: an
insightful visual performance model for multicore architectures", CACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgefer.benchmark.result import Layers, LayerTime, Roofline
from edgefer.benchmark.show.plots.drawing import Drawing, colour_of, label, plain_ticks
from edgefer.benchmark.show.quantity import giga
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roofline(ident: str, found: Layers, median: float | None) -> Drawing | None:
    """The roof, a dot for each layer whose work, traffic and time are known, and the network as a whole.

    Args:
        ident: unique on the page.
        found: the layers, with a roofline.
        median: of the whole network, in seconds.
    """
    roof = found.roofline
    if roof is None or not roof.rates or min(roof.operations, roof.traffic, roof.bandwidth) <= 0:
        return None
    return Drawing(
        "Roofline: what the machine allows, and what is reached",
        _draw(ident, roof, found.layers, median),
        "A dot under the slope waits for memory, one under a flat line for arithmetic; the nearer to its line, the "
        "less there is to gain. The area of a layer's dot is its share of the time.",
    )


@styled
def _draw(ident: str, roof: Roofline, layers: Sequence[LayerTime], median: float | None) -> str:
    dots = [
        (each.operations / each.traffic, each.operations / each.seconds, each.share or 0.0, each.precision)
        for each in layers
        if each.operations and each.traffic and each.seconds
    ]
    whole = roof.operations / roof.traffic
    ridges = [rate / roof.bandwidth for rate in roof.rates.values()]
    low_x = min([whole, *ridges, *(dot[0] for dot in dots)]) / 3
    high_x = max([whole, *ridges, *(dot[0] for dot in dots)]) * 4
    reached = [] if median is None else [roof.operations / median]
    low_y = min([*reached, *roof.rates.values(), *(dot[1] for dot in dots), roof.bandwidth * low_x * 1.5]) / 2.5
    high_y = max(roof.rates.values()) * 2.2
    figure, axes = new_axes(3.7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y / 1e9, high_y / 1e9)
    fastest = max(roof.rates.values())
    slope = np.geomspace(low_x, fastest / roof.bandwidth, 50)
    axes.plot(slope, roof.bandwidth * slope / 1e9, color=COLOURS["ink"], linewidth=1.4)
    for precision, rate in roof.rates.items():
        begin = rate / roof.bandwidth
        axes.plot([begin, high_x], [rate / 1e9] * 2, color=COLOURS[colour_of(precision)], linewidth=1.6)
        axes.annotate(
            f"{_name(precision)}  {giga([rate], 'GOP/s').with_unit(rate)}", (high_x, rate / 1e9), xytext=(-2, 3),
            textcoords="offset points", ha="right", fontsize=8.5, color=COLOURS[colour_of(precision)],
        )  # fmt: skip
    for precision in dict.fromkeys(dot[3] for dot in dots):
        mine = [dot for dot in dots if dot[3] == precision]
        axes.scatter(
            [dot[0] for dot in mine], [dot[1] / 1e9 for dot in mine], s=[10 + 900 * dot[2] for dot in mine],
            color=COLOURS[colour_of(precision)], alpha=0.55, linewidth=0, label=f"layer, {_name(precision)}",
        )  # fmt: skip
    if median is not None:
        axes.scatter([whole], [roof.operations / median / 1e9], s=150, marker="*", color=COLOURS["ink"], zorder=5,
                     linewidth=0, label="the network")  # fmt: skip
    axes.scatter([whole], [roof.operations / roof.floor / 1e9], s=46, marker="D", facecolor="none", zorder=5,
                 edgecolor=COLOURS["ink"], linewidth=1.3, label="the network, at best")  # fmt: skip
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel("work per byte of traffic (OP/B)")
    axes.set_ylabel("work per second (GOP/s)")
    axes.grid()
    bare(axes)
    handles, names = axes.get_legend_handles_labels()
    legend = axes.legend(handles, names, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.0,
                         handletextpad=0.3)  # fmt: skip
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([40])
    figure.subplots_adjust(left=0.085, right=0.985, top=0.92, bottom=0.13)
    _along_slope(axes, roof.bandwidth, low_x, min(ridges))
    return inline_svg(figure, ident, "Roofline of the machine with the network and its layers")


def _name(precision: str) -> str:
    return label(precision, 12).upper()


def _along_slope(axes: Axes, bandwidth: float, low: float, ridge: float) -> None:
    at = low * (ridge / low) ** 0.30
    ends = axes.transData.transform([(at, bandwidth * at / 1e9), (at * 2, bandwidth * at * 2 / 1e9)])
    angle = float(np.degrees(np.arctan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0])))
    axes.annotate(
        f"memory  {giga([bandwidth], 'GB/s').with_unit(bandwidth)}", (at, bandwidth * at / 1e9), xytext=(-4, 5),
        textcoords="offset points", rotation=angle, rotation_mode="anchor", fontsize=8.5, color=COLOURS["ink"],
    )  # fmt: skip
