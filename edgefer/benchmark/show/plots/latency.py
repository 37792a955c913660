"""How durations are distributed: all of them, and the tail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgefer.benchmark.result import Latency
from edgefer.benchmark.show.plots.drawing import SERIES, Drawing, end_labels, label, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import times
from edgefer.benchmark.show.series import bins, tail
from edgefer.page.drawing import WIDTH, bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

_BINS = 64
_POINTS = 400
_SHARES = (
    (2, "p50"),
    (10, "p90"),
    (20, "p95"),
    (100, "p99"),
    (1_000, "p99.9"),
    (10_000, "p99.99"),
    (100_000, "p99.999"),
)


def histogram(ident: str, name: str, durations: Sequence[float], latency: Latency, wide: bool) -> Drawing:
    """How many runs took how long, counts on a logarithmic scale so that single outliers are seen."""
    return Drawing(
        f"How long the runs took: {label(name, 60)}",
        _histogram(ident, durations, latency, wide),
        "Counts are on a logarithmic scale, so that a single slow run is seen.",
        wide,
    )


@styled
def _histogram(ident: str, durations: Sequence[float], latency: Latency, wide: bool) -> str:
    scale = times([latency.p50])
    values = np.asarray(durations) / scale.unit_size
    logarithmic = spans_magnitudes(values.min(), values.max())
    counts, edges = bins(values.tolist(), _BINS if wide else _BINS // 2, logarithmic)
    figure, axes = new_axes(2.3, WIDTH if wide else WIDTH / 2)
    axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, align="edge", bottom=0.0, color=COLOURS["accent"], linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(counts.max() * 1.6, 2))
    axes.set_xscale("log" if logarithmic else "linear")
    margin = 0.02 * (edges[-1] - edges[0])
    axes.set_xlim((edges[0] * 0.97, edges[-1] * 1.03) if logarithmic else (edges[0] - margin, edges[-1] + margin))
    for value, text, side in ((latency.p50, "p50", "right"), (latency.p99, "p99", "left")):
        if value is None:
            continue
        axes.axvline(value / scale.unit_size, color=COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 2)))
        axes.annotate(
            f" {text} {scale(value)} ", (value / scale.unit_size, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 3), textcoords="offset points", ha=side, fontsize=8.5, color=COLOURS["ink"],
        )  # fmt: skip
    plain_ticks(axes, "x")
    plain_ticks(axes, "y", decades=True)
    axes.set_xlabel(f"duration ({scale.unit})")
    axes.set_ylabel("runs")
    axes.grid(axis="y")
    bare(axes)
    figure.subplots_adjust(left=0.07 if wide else 0.12, right=0.985, top=0.90, bottom=0.2)
    return inline_svg(figure, ident, "Histogram of durations")


def tails(ident: str, series: Sequence[tuple[str, Sequence[float]]]) -> Drawing:
    """The durations that a share of the runs exceeds, one line a name; the share on a logarithmic scale."""
    return Drawing(
        "The tail: how long the slowest runs take",
        _tails(ident, series),
        "To the right ever fewer runs are slower: one in 10 at p90, one in 1 000 at p99.9. A line ends at its largest "
        "value, which the number of runs decides.",
    )


@styled
def _tails(ident: str, series: Sequence[tuple[str, Sequence[float]]]) -> str:
    everything = np.concatenate([np.asarray(values) for _, values in series])
    scale = times([float(np.median(everything))])
    figure, axes = new_axes(2.9)
    ends = []
    most = 2.0
    for index, (name, durations) in enumerate(series):
        over, values = tail(durations)
        kept = np.unique(np.geomspace(1, len(over), _POINTS).astype(int) - 1)
        kept = np.unique(np.concatenate([kept, len(over) - 1 - kept]))
        colour = SERIES[index % len(SERIES)]
        style = "-" if index < len(SERIES) else "--"
        axes.plot(
            over[kept], values[kept] / scale.unit_size, drawstyle="steps-post", color=COLOURS[colour], linewidth=1.5,
            linestyle=style,
        )  # fmt: skip
        axes.scatter(over[-1:], values[-1:] / scale.unit_size, s=16, color=COLOURS[colour], zorder=3)
        ends.append((float(values[-1]) / scale.unit_size, label(name, 26), colour))
        most = max(most, float(over[-1]))
    axes.set_xscale("log")
    axes.set_xlim(1, most * 1.12)
    low, high = everything.min() / scale.unit_size, everything.max() / scale.unit_size
    axes.set_yscale("log" if spans_magnitudes(low, high) else "linear")
    axes.set_ylim(low * 0.94, high * 1.06)
    axes.set_xticks([at for at, _ in _SHARES if at <= most], [text for at, text in _SHARES if at <= most])
    axes.minorticks_off()
    plain_ticks(axes, "y")
    axes.set_ylabel(f"duration ({scale.unit})")
    axes.grid()
    bare(axes)
    figure.subplots_adjust(left=0.07, right=0.80, top=0.97, bottom=0.11)
    end_labels(axes, ends)
    return inline_svg(figure, ident, "Durations exceeded by an ever smaller share of the runs")
