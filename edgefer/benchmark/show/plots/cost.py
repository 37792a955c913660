"""The cold start as one bar, and power over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgefer.benchmark.result import ColdStart, Power
from edgefer.benchmark.show.plots.drawing import SERIES, Drawing, end_labels, label, plain_ticks
from edgefer.benchmark.show.quantity import Scale, times
from edgefer.benchmark.show.sections.cost import REST
from edgefer.benchmark.show.series import envelope
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SLICES = 400


def stages(ident: str, found: ColdStart) -> Drawing | None:
    """What the time to the first answer is made of."""
    if found.total <= 0 or not found.stages:
        return None
    return Drawing("From a new process to the first answer", _stages(ident, found))


def watts(ident: str, found: Power, span: tuple[float, float] | None) -> Drawing | None:
    """Each rail over time.

    Args:
        ident: unique on the page.
        found: the samples.
        span: begin and end of the runs that it is the power of, in seconds.
    """
    if len(found.samples) < 2:
        return None
    note = "Dashed: idle. Shaded: while the runs whose energy is given took place." if span else "Dashed: idle."
    return Drawing("Power over time", _watts(ident, found, span), note)


@styled
def _stages(ident: str, found: ColdStart) -> str:
    rest = found.total - sum(stage.seconds for stage in found.stages)
    parts = [(stage.name, stage.seconds) for stage in found.stages] + ([(REST, rest)] if rest > 0 else [])
    scale = times([found.total])
    figure, axes = new_axes(1.25)
    whole = sum(value for _, value in parts)
    left = 0.0
    for index, (name, value) in enumerate(parts):
        colour = "line" if name == REST else SERIES[index % len(SERIES)]
        axes.barh(
            [0], [value], left=[left], height=0.5, color=COLOURS[colour], edgecolor=COLOURS["paper"], linewidth=1.5
        )
        left += value
    _names(axes, parts, scale)
    axes.set_xlim(0, whole)
    axes.set_ylim(-0.95, 0.95)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / scale.unit_size:g}")
    axes.set_xlabel(f"{scale.unit} since the process began")
    bare(axes)
    figure.subplots_adjust(left=0.02, right=0.98, top=1.0, bottom=0.33)
    return inline_svg(figure, ident, "Stages of a cold start")


def _names(axes: Axes, parts: Sequence[tuple[str, float]], scale: Scale) -> None:
    # Above and below the bar in turn: a name may be wider than its stage, but seldom than two neighbours.
    whole = sum(value for _, value in parts)
    free = {True: -1.0, False: -1.0}
    left, above = 0.0, True
    for name, value in parts:
        text = f"{label(name, 26)} {scale.with_unit(value)}"
        width = 0.0078 * len(text) * whole
        middle = min(max(left + value / 2, width / 2), whole - width / 2)
        starts = {side: max(middle - width / 2, free[side] + 0.01 * whole) for side in (above, not above)}
        if starts[above] > middle - width / 2:
            above = min(starts, key=lambda side: starts[side])
        start = starts[above]
        if start + width <= whole * 1.02:
            axes.text(start + width / 2, 0.56 if above else -0.58, text, ha="center", va="center", fontsize=8.5,
                      color=COLOURS["ink"])  # fmt: skip
            axes.plot(
                [left + value / 2] * 2, [0.25, 0.38] if above else [-0.25, -0.38], color=COLOURS["muted"], linewidth=0.7
            )
            free[above] = start + width
        left += value
        above = not above


@styled
def _watts(ident: str, found: Power, span: tuple[float, float] | None) -> str:
    figure, axes = new_axes(2.4)
    at = [sample.at for sample in found.samples]
    ends, highest = [], 0.0
    if span is not None:
        axes.axvspan(*span, color=COLOURS["soft"], linewidth=0)
    for index, rail in enumerate(found.rails):
        colour = SERIES[index % len(SERIES)]
        values = [sample.watts[index] for sample in found.samples]
        series = envelope(at, values, _SLICES)
        axes.fill_between(series.at, series.low, series.high, color=COLOURS[colour], alpha=0.28, linewidth=0)
        axes.plot(series.at, series.middle, color=COLOURS[colour], linewidth=1.8 if rail.total else 1.1)
        if rail.idle is not None:
            axes.axhline(rail.idle, color=COLOURS[colour], linewidth=0.8, linestyle=(0, (4, 3)))
        ends.append((float(series.middle[-1]), label(rail.name, 22), colour))
        highest = max(highest, *values)
    axes.set_ylim(0, highest * 1.1 or 1.0)
    axes.set_xlim(at[0], at[-1])
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel("seconds since the benchmark began")
    axes.set_ylabel("power (W)")
    axes.grid(axis="y")
    bare(axes)
    figure.subplots_adjust(left=0.07, right=0.82, top=0.97, bottom=0.19)
    end_labels(axes, ends)
    return inline_svg(figure, ident, "Power of each rail over time")
