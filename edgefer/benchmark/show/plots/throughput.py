"""Images a second, and what more at once costs in latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from edgefer.benchmark.result import Throughput
from edgefer.benchmark.show.plots.drawing import MARKERS, SERIES, Drawing, end_labels, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import times
from edgefer.page.drawing import bare, new_figure, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Across = Literal["batch", "streams"]

_CAPTIONS: dict[_Across, str] = {
    "batch": "What a larger batch gains, and what it costs",
    "streams": "What more streams gain, and what they cost",
}


def curve(ident: str, points: Sequence[Throughput]) -> Drawing | None:
    """Rate and latency over the batch, a line for each number of streams; over the streams where there is one batch;
    None where there is nothing to join."""
    if len({(each.settings.batch, each.settings.streams) for each in points}) < 2:
        return None
    across: _Across = "batch" if len({each.settings.batch for each in points}) > 1 else "streams"
    return Drawing(_CAPTIONS[across], _curve(ident, points, across), "Bars: the interval of the rate. Dotted: p95.")


@styled
def _curve(ident: str, points: Sequence[Throughput], across: _Across) -> str:
    figure = new_figure(2.7)
    left, right = figure.subplots(1, 2)
    unit = times([each.latency.p50 for each in points])
    rates, waits = [], []
    for index, (name, line) in enumerate(_lines(points, across).items()):
        colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        look = {"color": COLOURS[colour], "marker": marker, "markersize": 4.5, "linewidth": 1.5}
        at = [_place(each, across) for each in line]
        below = [max(0.0, each.rate - each.interval.low) for each in line]
        above = [max(0.0, each.interval.high - each.rate) for each in line]
        left.errorbar(at, [each.rate for each in line], yerr=[below, above], elinewidth=1, **look)
        right.plot(at, [each.latency.p50 / unit.unit_size for each in line], **look)
        slow = [(_place(each, across), each.latency.p95 / unit.unit_size) for each in line if each.latency.p95]
        places, tails = [at for at, _ in slow], [tail for _, tail in slow]
        right.plot(places, tails, color=COLOURS[colour], linewidth=1.1, linestyle=(0, (1, 1.6)))
        rates.append((line[-1].rate, name, colour))
        waits.append((line[-1].latency.p50 / unit.unit_size, name, colour))
    ticks = sorted({_place(each, across) for each in points})
    for axes, title in ((left, "images a second"), (right, f"latency of a batch ({unit.unit})")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(each) for each in ticks])
        axes.minorticks_off()
        axes.set_xlabel(across)
        axes.set_title(title, loc="left", fontsize=8.5, color=COLOURS["muted"], pad=5)
        axes.grid(axis="y")
        bare(axes)
    left.set_ylim(0, 1.1 * max(each.interval.high for each in points))
    _limit(
        right, [value / unit.unit_size for each in points for value in (each.latency.p50, each.latency.p95) if value]
    )
    plain_ticks(left, "y")
    plain_ticks(right, "y")
    figure.subplots_adjust(left=0.06, right=0.905, top=0.90, bottom=0.17, wspace=0.40)
    end_labels(left, rates)
    end_labels(right, waits)
    return inline_svg(figure, ident, "Throughput and latency over batch size and number of streams")


def _lines(points: Sequence[Throughput], across: _Across) -> dict[str, list[Throughput]]:
    """The points of each line in the order in which they are joined, by the name of the line."""
    several = len({each.settings.threads for each in points}) > 1
    lines: dict[str, list[Throughput]] = {}
    for each in sorted(points, key=lambda each: _place(each, across)):
        settings = each.settings
        streams = "1 stream" if settings.streams == 1 else f"{settings.streams} streams"
        name = streams if across == "batch" else f"batch {settings.batch}"
        lines.setdefault(f"{name}, {settings.threads} threads" if several else name, []).append(each)
    return lines


def _place(point: Throughput, across: _Across) -> int:
    return point.settings.batch if across == "batch" else point.settings.streams


def _limit(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if spans_magnitudes(low, high):
        axes.set_yscale("log")
        axes.set_ylim(low * 0.8, high * 1.35)
    else:
        axes.set_ylim(0, high * 1.15)
