"""Images a second, and what a batch costs in latency."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.result import Throughput
from edgefer.benchmark.show.plots.drawing import MARKERS, SERIES, Drawing, end_labels, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import times
from edgefer.page.drawing import bare, new_figure, styled
from edgefer.page.svg import COLOURS, inline_svg


def curve(ident: str, points: Sequence[Throughput]) -> Drawing | None:
    """Rate and latency over the batch, a line for each number of streams; None where there is nothing to join."""
    if len(points) < 2:
        return None
    return Drawing(
        "What a larger batch gains, and what it costs",
        _curve(ident, points),
        "Bars: the interval of the rate. Dotted: p95.",
    )


@styled
def _curve(ident: str, points: Sequence[Throughput]) -> str:
    figure = new_figure(2.7)
    left, right = figure.subplots(1, 2)
    groups = list(dict.fromkeys((each.settings.streams, each.settings.threads) for each in points))
    threads = len({each.settings.threads for each in points}) > 1
    scale = times([each.latency.p50 for each in points])
    rates, waits = [], []
    for index, group in enumerate(groups):
        mine = sorted(
            (each for each in points if (each.settings.streams, each.settings.threads) == group),
            key=lambda each: each.settings.batch,
        )
        colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        batches = [each.settings.batch for each in mine]
        bars = [[each.rate - each.interval.low for each in mine], [each.interval.high - each.rate for each in mine]]
        left.errorbar(batches, [each.rate for each in mine], yerr=[[max(0.0, value) for value in row] for row in bars],
                      color=COLOURS[colour], marker=marker, markersize=4.5, linewidth=1.5, elinewidth=1)  # fmt: skip
        right.plot(batches, [each.latency.p50 / scale.unit_size for each in mine], color=COLOURS[colour], marker=marker,
                   markersize=4.5, linewidth=1.5)  # fmt: skip
        slow = [(each.settings.batch, each.latency.p95 / scale.unit_size) for each in mine if each.latency.p95]
        right.plot([at for at, _ in slow], [value for _, value in slow], color=COLOURS[colour], linewidth=1.1,
                   linestyle=(0, (1, 1.6)))  # fmt: skip
        name = f"{group[0]} stream{'s' if group[0] != 1 else ''}" + (f", {group[1]} threads" if threads else "")
        rates.append((mine[-1].rate, name, colour))
        waits.append((mine[-1].latency.p50 / scale.unit_size, name, colour))
    batches = sorted({each.settings.batch for each in points})
    for axes, title in ((left, "images a second"), (right, f"latency of a batch ({scale.unit})")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(each) for each in batches])
        axes.minorticks_off()
        axes.set_xlabel("batch")
        axes.set_title(title, loc="left", fontsize=8.5, color=COLOURS["muted"], pad=5)
        axes.grid(axis="y")
        bare(axes)
    left.set_ylim(0, 1.1 * max(each.interval.high for each in points))
    low, high = (pick(each.latency.p50 for each in points) / scale.unit_size for pick in (min, max))
    if spans_magnitudes(low, high):
        right.set_yscale("log")
        right.set_ylim(low * 0.8, high * 1.35)
    else:
        right.set_ylim(0, high * 1.15)
    plain_ticks(left, "y")
    plain_ticks(right, "y")
    figure.subplots_adjust(left=0.06, right=0.905, top=0.90, bottom=0.17, wspace=0.40)
    end_labels(left, rates)
    end_labels(right, waits)
    return inline_svg(figure, ident, "Throughput and latency over batch size and number of streams")
