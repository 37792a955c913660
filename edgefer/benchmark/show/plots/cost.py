"""The cold start as one bar, and power over time."""

from __future__ import annotations

from edgefer.benchmark.result import ColdStart, Power
from edgefer.benchmark.show.plots.drawing import SERIES, Drawing, end_labels, label, plain_ticks
from edgefer.benchmark.show.quantity import times
from edgefer.benchmark.show.sections.cost import REST, unaccounted
from edgefer.benchmark.show.series import envelope
from edgefer.page.drawing import bare, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

_SLICES = 400
_COLUMNS = 4  # of a legend
# What is before and between the stages of interest, so that those have a colour each.
_QUIET = {"interpreter": "muted", "rest": "line", REST: "line"}


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
    rest = unaccounted(found)
    parts = [(stage.name, stage.seconds) for stage in found.stages] + ([(REST, rest)] if rest > 0 else [])
    scale = times([found.total])
    lines = -(-len(parts) // _COLUMNS)
    figure, axes = new_axes(0.95 + 0.2 * lines)
    left = 0.0
    loud = [name for name, _ in parts if name not in _QUIET]
    for name, value in parts:
        index = loud.index(name) if name in loud else 0
        look = _QUIET.get(name, SERIES[index % len(SERIES)])
        text = f"{label(name, 22)}  {scale.with_unit(value)}"
        axes.barh([0], [value], left=[left], height=0.7, color=COLOURS[look], label=text)
        if left:
            axes.axvline(left, color=COLOURS["paper"], linewidth=1.4)
        left += value
    axes.set_xlim(0, left)
    axes.set_ylim(-0.4, 0.4)
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / scale.unit_size:g}")
    axes.set_xlabel(f"{scale.unit} since the process began")
    bare(axes)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.005, 1.0),
        ncols=_COLUMNS,
        borderaxespad=0.1,
        handlelength=0.9,
        fontsize=8.5,
    )
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.012, right=0.985, top=1 - (0.12 + 0.2 * lines) / height, bottom=0.45 / height)
    return inline_svg(figure, ident, "Stages of a cold start")


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
