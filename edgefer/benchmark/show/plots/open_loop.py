"""Latency from arrival, frame by frame, with the frames that were lost."""

from __future__ import annotations

import numpy as np

from edgefer.benchmark.result import OpenLoop
from edgefer.benchmark.show.plots.drawing import Drawing, label, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import times
from edgefer.benchmark.show.series import envelope
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

_MANY = 700  # frames that are drawn one by one; more become a band
_SLICES = 400


def arrivals(ident: str, name: str, loop: OpenLoop) -> Drawing | None:
    """The answers over time of arrival, the period of the arrivals, and a mark for each loss; None without arrivals."""
    if not loop.arrived and not loop.losses:
        return None
    return Drawing(
        f"Every frame, from arrival to answer: {label(name, 60)}",
        _arrivals(ident, loop),
        "Dashed: the period of the arrivals. Above it, an answer came after the next frame had arrived.",
    )


@styled
def _arrivals(ident: str, loop: OpenLoop) -> str:
    figure, axes = new_axes(2.6)
    start = min([*loop.arrived[:1], *(loss.arrived for loss in loop.losses[:1])])
    period = 1 / loop.rate
    scale = times([loop.latency.p50 if loop.latency else period])
    at, values = np.asarray(loop.arrived) - start, np.asarray(loop.latencies) / scale.unit_size
    if len(at) > _MANY:
        found = envelope(at.tolist(), values.tolist(), _SLICES)
        axes.fill_between(found.at, found.low, found.high, color=COLOURS["accent"], alpha=0.35, linewidth=0,
                          label="fastest to slowest answer")  # fmt: skip
        axes.plot(found.at, found.middle, color=COLOURS["accent"], linewidth=1.1, label="median answer")
    elif len(at):
        axes.scatter(at, values, s=7, color=COLOURS["accent"], linewidth=0, label="answered")
    low = min(values.min(initial=period / scale.unit_size), period / scale.unit_size)
    high = max(values.max(initial=0.0), period / scale.unit_size)
    logarithmic = spans_magnitudes(low, high)
    axes.set_yscale("log" if logarithmic else "linear")
    axes.set_ylim(low * 0.8 if logarithmic else 0, high * (1.5 if logarithmic else 1.15))
    axes.axhline(period / scale.unit_size, color=COLOURS["muted"], linewidth=0.9, linestyle=(0, (5, 3)), label="period")
    if loop.losses:
        axes.scatter(
            [loss.arrived - start for loss in loop.losses], [0.965] * len(loop.losses), s=26, marker="x", linewidth=1.4,
            color=COLOURS["bad"], transform=axes.get_xaxis_transform(), label=f"lost ({len(loop.losses)})", zorder=4,
        )  # fmt: skip
    axes.set_xlim(-0.01 * loop.seconds, 1.01 * loop.seconds)
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel("seconds since the first frame")
    axes.set_ylabel(f"latency ({scale.unit})")
    axes.grid(axis="y")
    bare(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.0, handletextpad=0.4)
    figure.subplots_adjust(left=0.07, right=0.985, top=0.89, bottom=0.18)
    return inline_svg(figure, ident, "Latency of every frame over its time of arrival, with losses")
