"""Latency and the state of the machine on one axis of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgefer.benchmark.result import Moment, Result
from edgefer.benchmark.show.plots.drawing import SERIES, Drawing, end_labels, label, plain_ticks, spans_magnitudes
from edgefer.benchmark.show.quantity import times
from edgefer.benchmark.show.series import envelope
from edgefer.benchmark.show.settings import apart
from edgefer.page.drawing import bare, new_figure, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SLICES = 400
_FEW = 5  # lines of a kind that are drawn one by one; more become a band


@dataclass(frozen=True)
class _Line:
    name: str
    at: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class _Panel:
    title: str
    lines: Sequence[_Line]


def timeline(ident: str, result: Result) -> Drawing | None:
    """The closed loops over time, above clocks, temperatures, power and the load by others; None without loops."""
    if not result.closed:
        return None
    return Drawing(
        "Over time, with the state of the machine",
        _timeline(ident, result),
        "The line is the median of each short slice of time, the area reaches from its fastest to its slowest run. "
        "Shaded: the machine said that it was throttled.",
    )


@styled
def _timeline(ident: str, result: Result) -> str:
    loops = result.closed
    first = min(loop.started[0] for loop in loops)
    last = max(loop.started[-1] + loop.durations[-1] for loop in loops)
    margin = 0.03 * (last - first)
    start, end = first - margin, last + margin
    panels = [panel for panel in _panels(result, start, end) if panel.lines]
    heights = [2.4, *(0.95 for _ in panels)]
    total = sum(heights) + 0.28 * len(panels) + 0.75
    figure = new_figure(total)
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights, hspace=0.28 / (sum(heights) / len(heights)),
        left=0.07, right=0.82, top=1 - 0.3 / total, bottom=0.45 / total,
    )  # fmt: skip
    top = figure.add_subplot(grid[0])
    _latency(top, result)
    axes = [top]
    for index, panel in enumerate(panels):
        below = figure.add_subplot(grid[index + 1], sharex=top)
        _draw(below, panel)
        axes.append(below)
    top.set_xlim(start, end)
    for each in axes:
        for low, high in _throttled(result.conditions.moments):
            each.axvspan(max(low, start), min(high, end), color=COLOURS["warm"], alpha=0.16, linewidth=0)
        each.grid(axis="x")
        bare(each)
        if each is not axes[-1]:
            each.tick_params(labelbottom=False)
    plain_ticks(axes[-1], "x")
    axes[-1].set_xlabel("seconds since the benchmark began")
    return inline_svg(figure, ident, "Latency over time with clocks, temperatures and power")


def _latency(axes: Axes, result: Result) -> None:
    names = apart([loop.settings for loop in result.closed]).names
    scale = times([loop.latency.p50 for loop in result.closed])
    ends = []
    for index, (name, loop) in enumerate(zip(names, result.closed, strict=True)):
        colour = SERIES[index % len(SERIES)]
        found = envelope(loop.started, loop.durations, _SLICES // len(result.closed))
        low, middle, high = (each / scale.unit_size for each in (found.low, found.middle, found.high))
        axes.fill_between(found.at, low, high, color=COLOURS[colour], alpha=0.28, linewidth=0)
        axes.plot(found.at, middle, color=COLOURS[colour], linewidth=1.1)
        ends.append((float(middle[-1]), label(name, 24), colour))
    least = min(loop.latency.minimum for loop in result.closed) / scale.unit_size
    most = max(loop.latency.maximum for loop in result.closed) / scale.unit_size
    axes.set_yscale("log" if spans_magnitudes(least, most) else "linear")
    axes.set_ylim(least * 0.96, most * 1.04)
    plain_ticks(axes, "y")
    axes.set_title(f"latency ({scale.unit})", loc="left", fontsize=8.5, color=COLOURS["muted"], pad=4)
    axes.grid(axis="y")
    end_labels(axes, ends)


def _panels(result: Result, start: float, end: float) -> list[_Panel]:
    moments = result.conditions.moments
    clocks = dict.fromkeys(clock.name for moment in moments for clock in moment.clocks)
    sensors = dict.fromkeys(each.name for moment in moments for each in moment.temperatures)
    panels = [
        _Panel("clocks (GHz)", [_line(name, moments, _gigahertz(name), start, end) for name in clocks]),
        _Panel("temperature (°C)", [_line(name, moments, _celsius(name), start, end) for name in sensors]),
    ]
    if result.power is not None:
        samples = [sample for sample in result.power.samples if start <= sample.at <= end]
        panels.append(
            _Panel(
                "power (W)",
                [
                    _Line(rail.name, [each.at for each in samples], [each.watts[index] for each in samples])
                    for index, rail in enumerate(result.power.rails)
                    if rail.total and samples
                ],
            )
        )
    panels.append(_Panel("used by others (% of all CPUs)", [_line("others", moments, _load, start, end)]))
    return [_Panel(panel.title, [line for line in panel.lines if line.at]) for panel in panels]


def _line(
    name: str, moments: Sequence[Moment], value: Callable[[Moment], float | None], start: float, end: float
) -> _Line:
    """The values from `start` to `end`, and those next to them, to which lines lead out of the picture."""
    pairs = [(moment.at, found) for moment in moments for found in [value(moment)] if found is not None]
    inside = [pair for pair in pairs if start <= pair[0] <= end]
    before, after = [pair for pair in pairs if pair[0] < start][-1:], [pair for pair in pairs if pair[0] > end][:1]
    kept = [*before, *inside, *after] if inside or (before and after) else []
    return _Line(name, [at for at, _ in kept], [found for _, found in kept])


def _gigahertz(name: str) -> Callable[[Moment], float | None]:
    def value(moment: Moment) -> float | None:
        found = next((clock.hertz for clock in moment.clocks if clock.name == name), None)
        return None if found is None else found / 1e9

    return value


def _celsius(name: str) -> Callable[[Moment], float | None]:
    return lambda moment: next((each.celsius for each in moment.temperatures if each.name == name), None)


def _load(moment: Moment) -> float | None:
    return None if moment.load is None else 100 * moment.load


def _draw(axes: Axes, panel: _Panel) -> None:
    if len(panel.lines) > _FEW:
        at = np.array(panel.lines[0].at)
        every = np.array([np.interp(at, line.at, line.values) for line in panel.lines])
        axes.fill_between(at, every.min(axis=0), every.max(axis=0), color=COLOURS["accent"], alpha=0.28, linewidth=0)
        axes.plot(at, np.median(every, axis=0), color=COLOURS["accent"], linewidth=1.1)
        ends = [(float(np.median(every[:, -1])), f"{len(panel.lines)} of them, median", "accent")]
    else:
        ends = []
        for index, line in enumerate(panel.lines):
            colour = SERIES[index % len(SERIES)]
            marker = "o" if len(line.at) < 60 else ""
            axes.plot(line.at, line.values, color=COLOURS[colour], linewidth=1.2, marker=marker, markersize=2)
            ends.append((line.values[-1], label(line.name, 24), colour))
    values = [value for line in panel.lines for value in line.values]
    low, high = min(values), max(values)
    room = max(0.12 * (high - low), 0.05 * abs(high), 0.01)
    axes.set_ylim(max(0.0, low - room) if low >= 0 else low - room, high + room)
    plain_ticks(axes, "y")
    axes.set_title(panel.title, loc="left", fontsize=8.5, color=COLOURS["muted"], pad=4)
    axes.grid(axis="y")
    end_labels(axes, ends)


def _throttled(moments: Sequence[Moment]) -> list[tuple[float, float]]:
    spans = []
    for index, moment in enumerate(moments):
        if moment.throttle:
            before = moments[index - 1].at if index else moment.at
            spans.append(((before + moment.at) / 2, (moment.at + moments[min(index + 1, len(moments) - 1)].at) / 2))
    return spans
