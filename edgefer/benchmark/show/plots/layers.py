"""Time by block and by layer, coloured by precision, reformats hatched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgefer.benchmark.result import Layers, LayerTime
from edgefer.benchmark.show.plots.drawing import Drawing, colour_of, label
from edgefer.benchmark.show.quantity import Scale, number, percent
from edgefer.benchmark.show.sections.layers import longest, scales
from edgefer.page.drawing import bare, beside, new_axes, styled
from edgefer.page.svg import COLOURS, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BLOCKS = 24
_REFORMAT = "reformat or cast"


def blocks(ident: str, found: Layers) -> Drawing | None:
    """Blocks in the order of the network: their layers' times by precision, or their number where no time is known."""
    if not found.layers:
        return None
    names = list(dict.fromkeys(layer.block for layer in found.layers))
    timed = any(layer.seconds is not None for layer in found.layers)
    if len(names) > _MOST_BLOCKS:
        weight = {name: sum(_weight(layer, timed) for layer in found.layers if layer.block == name) for name in names}
        kept = set(sorted(names, key=lambda name: -weight[name])[:_MOST_BLOCKS])
        names = [name for name in names if name in kept]
    note = "Blocks stand in the order of the network. Hatched: moving and re-typing data, no arithmetic of the network."
    caption = "Where the time goes, by block" if timed else "Layers by block"
    return Drawing(caption, _blocks(ident, found, names, timed), note)


def top(ident: str, found: Layers) -> Drawing | None:
    """The longest layers, longest first; None where no times are known."""
    layers = longest(found)
    if not layers:
        return None
    return Drawing("The longest layers", _top(ident, layers, scales(found)[1]))


@styled
def _blocks(ident: str, found: Layers, names: Sequence[str], timed: bool) -> str:
    sums: dict[str, dict[str, float]] = {name: {} for name in names}
    for layer in found.layers:
        if layer.block in sums:
            key = _REFORMAT if layer.reformat else layer.precision
            sums[layer.block][key] = sums[layer.block].get(key, 0.0) + _weight(layer, timed)
    totals = {name: sum(parts.values()) for name, parts in sums.items()}
    whole = sum(_weight(layer, timed) for layer in found.layers) or 1.0
    shares = {block.block: block.share for block in found.blocks if block.share is not None}
    scale = scales(found)[0]
    figure, axes = new_axes(0.27 * len(names) + 0.5)
    keys = sorted(
        {key for parts in sums.values() for key in parts}, key=lambda key: (key == _REFORMAT, key != "int8", key)
    )
    rows = list(range(len(names)))[::-1]
    left = [0.0] * len(names)
    for key in keys:
        widths = [sums[name].get(key, 0.0) for name in names]
        some = [each for each in zip(rows, widths, left, strict=True) if each[1]]
        _bars(axes, some, key)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    for row, name in zip(rows, names, strict=True):
        share = percent(shares.get(name, totals[name] / whole))
        text = f"{scale.with_unit(totals[name])}  ({share})" if timed else number(totals[name], 0)
        beside(axes, totals[name], row, text, "ink")
    axes.set_yticks(rows, [label(name, 30) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(0, max([*totals.values(), 1e-12]) * 1.22)
    _frameless(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.0, handlelength=1.2)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.25, right=0.99, top=1 - 0.32 / height, bottom=0.08 / height)
    return inline_svg(figure, ident, "Time by block of the network and by precision")


@styled
def _top(ident: str, layers: Sequence[LayerTime], scale: Scale) -> str:
    figure, axes = new_axes(0.25 * len(layers) + 0.5)
    seconds = [layer.seconds or 0.0 for layer in layers]
    rows = list(range(len(layers)))[::-1]
    for key in sorted({_key(layer) for layer in layers}, key=lambda key: (key == _REFORMAT, key != "int8", key)):
        mine = [
            (row, value, 0.0) for row, value, layer in zip(rows, seconds, layers, strict=True) if _key(layer) == key
        ]
        _bars(axes, mine, key)
    for row, layer in zip(rows, layers, strict=True):
        share = "" if layer.share is None else f"  ({percent(layer.share)})"
        beside(axes, layer.seconds or 0.0, row, f"{scale.with_unit(layer.seconds)}{share}", "ink")
    axes.set_yticks(rows, [f"{label(layer.name, 34)} · {label(layer.kind, 14)}" for layer in layers])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(-0.6, len(layers) - 0.4)
    axes.set_xlim(0, max([*seconds, 1e-12]) * 1.22)
    _frameless(axes)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=5, borderaxespad=0.0, handlelength=1.2)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.36, right=0.99, top=1 - 0.32 / height, bottom=0.08 / height)
    return inline_svg(figure, ident, "The layers that take longest")


def _bars(axes: Axes, bars: Sequence[tuple[float, float, float]], key: str) -> None:
    """Bars as (row, width, left) that have one precision, or are reformats."""
    hatched = key == _REFORMAT
    rows, widths, left = zip(*bars, strict=True)
    axes.barh(
        rows,
        widths,
        left=left,
        height=0.62,
        label=key if hatched else label(key, 12).upper(),
        color=COLOURS["soft"] if hatched else COLOURS[colour_of(key)],
        linewidth=0.8 if hatched else 0,
        edgecolor=COLOURS["warm"],
        hatch="/////" if hatched else None,
    )


def _frameless(axes: Axes) -> None:
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    bare(axes)


def _key(layer: LayerTime) -> str:
    return _REFORMAT if layer.reformat else layer.precision


def _weight(layer: LayerTime, timed: bool) -> float:
    return (layer.seconds or 0.0) if timed else 1.0
