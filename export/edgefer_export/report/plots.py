"""The plots of the report, drawn by matplotlib. Every value that a plot writes out is one that report.json holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgefer.page.drawing import WIDTH, bare, beside, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg
from edgefer.page.text import megabytes, percent, seconds
from edgefer_export.report.content import Report, StepReport, TensorRange

_ORDER = ("int8", "fp16", "fp32")  # of the colours in a bar


def draw_all(report: Report) -> dict[str, str]:
    """The plots for which the report has content, as inline SVG by name."""
    plots: dict[str, str] = {}
    if report.steps and report.steps[-1].recalls:
        plots["recalls"] = recalls(report.steps[0], report.steps[-1], report.labels)
    if report.calibration is not None and report.calibration.ranges:
        plots["ranges"] = ranges(report.calibration.ranges)
    if report.layer_counts:
        plots["layers"] = layers(report.layer_counts)
    if report.sizes:
        plots["sizes"] = bars("sizes", report.sizes, megabytes, "Size of each file in megabytes")
    if report.seconds:
        plots["seconds"] = bars("seconds", report.seconds, seconds, "Duration of each stage in seconds")
    return plots


@styled
def recalls(reference: StepReport, final: StepReport, labels: Sequence[str]) -> str:
    """Recall by class, of the reference and of the deployed graph, joined by a line."""
    from matplotlib.ticker import MultipleLocator

    figure, axes = new_axes(0.30 * len(labels) + 0.5)
    margin = axes.get_yaxis_transform()
    rows = np.arange(len(labels))[::-1]
    for row, before, after in zip(rows, reference.recalls, final.recalls, strict=True):
        if before is None or after is None:
            axes.text(1.012, row, "no images", va="center", transform=margin, color=COLOURS["muted"])
            continue
        axes.plot([before, after], [row, row], color=COLOURS["line"], linewidth=3, solid_capstyle="round", zorder=1)
        axes.scatter(
            [before],
            [row],
            s=92,
            facecolor=COLOURS["paper"],
            edgecolor=COLOURS["fp32"],
            linewidth=1.8,
            zorder=2,
            clip_on=False,
        )
        axes.scatter([after], [row], s=34, color=COLOURS["accent"], zorder=3, clip_on=False)
        axes.text(1.012, row, f"{percent(before)} → {percent(after)}", va="center", transform=margin)
    known = [each for each in (*reference.recalls, *final.recalls) if each is not None]
    low = max(0.0, np.floor(min(known) * 20 - 0.5) / 20) if known else 0.0
    axes.set_xlim(low - 0.008 * (1 - low), 1 + 0.008 * (1 - low))
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_yticks(rows, labels)
    axes.xaxis.set_major_locator(MultipleLocator(0.05 if low > 0.6 else 0.2))
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.grid(axis="x")
    bare(axes)
    figure.subplots_adjust(left=0.12, right=0.80, top=0.99, bottom=0.42 / figure.get_figheight())
    return inline_svg(figure, "recalls", "Recall by class before and after the build")


@styled
def ranges(tensors: Sequence[TensorRange]) -> str:
    """The calibrated limit of each tensor in graph order, over the largest magnitude that calibration saw."""
    figure, axes = new_axes(2.5)
    at = np.arange(len(tensors))
    limits = np.array([tensor.limit for tensor in tensors])
    seen = np.array([max(abs(tensor.low), abs(tensor.high)) for tensor in tensors])
    smallest = np.finfo(np.float32).tiny
    positive = np.concatenate([limits, seen])
    floor = positive[positive > smallest].min(initial=1.0) / 2
    axes.vlines(at, np.maximum(limits, floor), np.maximum(seen, floor), color=COLOURS["line"], linewidth=1.6)
    axes.scatter(at, seen, s=26, marker="_", color=COLOURS["muted"], label="largest magnitude seen", zorder=2)
    axes.scatter(at, limits, s=14, color=COLOURS["int8"], label="calibrated limit", zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(floor, positive.max(initial=1.0) * 2)
    axes.set_xlim(-1, len(tensors))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_xticks([])
    axes.set_xlabel("tensors, from the inputs to the logits")
    axes.grid(axis="y")
    bare(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.0, handletextpad=0.3)
    figure.subplots_adjust(left=0.07, right=0.99, top=0.88, bottom=0.11)
    return inline_svg(figure, "ranges", "Calibrated ranges of the quantised tensors")


@styled
def layers(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Nodes by operator, coloured by the precision they compute in."""
    figure, axes = new_axes(0.30 * len(counts) + 0.55)
    rows = np.arange(len(counts))[::-1]
    for precision in _ORDER:
        values = np.array([by_precision.get(precision, 0) for by_precision in counts.values()])
        if not values.any():
            continue
        before = [_before(by_precision, precision) for by_precision in counts.values()]
        axes.barh(rows, values, left=before, height=0.62, color=COLOURS[precision], label=precision.upper())
    for row, by_precision in zip(rows, counts.values(), strict=True):
        text = " + ".join(f"{by_precision[each]} {each.upper()}" for each in _ORDER if each in by_precision)
        beside(axes, sum(by_precision.values()), row, text, "muted")
    axes.set_yticks(rows, list(counts))
    axes.set_ylim(-0.6, len(counts) - 0.4)
    axes.set_xlim(0, max(sum(each.values()) for each in counts.values()) * 1.25)
    bare(axes)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.0, handlelength=0.9)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.2, right=0.99, top=1 - 0.32 / height, bottom=0.08 / height)
    return inline_svg(figure, "layers", "Nodes of the deployed graph by operator and precision")


@styled
def bars(name: str, values: Mapping[str, float], text: Callable[[float], str], description: str) -> str:
    """One bar a key, each with its value written out by `text`."""
    figure, axes = new_axes(0.30 * len(values) + 0.2, width=WIDTH / 2)
    rows = np.arange(len(values))[::-1]
    axes.barh(rows, list(values.values()), height=0.62, color=COLOURS["accent"])
    for row, value in zip(rows, values.values(), strict=True):
        beside(axes, value, row, text(value), "ink")
    axes.set_yticks(rows, list(values))
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.set_xlim(0, max(*values.values(), 1e-9) * 1.35)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    bare(axes)
    figure.subplots_adjust(left=0.36, right=0.99, top=0.98, bottom=0.02)
    return inline_svg(figure, name, description)


def _before(by_precision: Mapping[str, int], precision: str) -> int:
    return sum(by_precision.get(each, 0) for each in _ORDER[: _ORDER.index(precision)])
