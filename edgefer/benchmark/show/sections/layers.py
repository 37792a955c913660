"""Where the time goes, by block of the network and by layer, and what the machine could do at most."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.result import Layers, LayerTime, Result, Roofline
from edgefer.benchmark.show.absent import absent
from edgefer.benchmark.show.quantity import Scale, giga, percent, sizes, times, work
from edgefer.benchmark.show.table import Section, Table, columns, filled
from edgefer.page.text import count

TOP = 12

_SOURCES = {
    "tensorrt-profiler": "TensorRT's profiler",
    "onnxruntime-profiler": "onnxruntime's profiler",
    "openvino-profiler": "OpenVINO's profiler",
    "compile-report": "the report of the compiler, which knows no times",
}


def layers(result: Result) -> Section:
    """The layers as they ran: blocks, the longest layers, all layers, and the roofline where there is one."""
    title = "Layer by layer"
    if result.layers is None:
        return absent(result, "layers", title, ("layers",))
    return _section("layers", title, result.layers, result)


def compiled(result: Result) -> Section:
    """The layers of the engine that was compiled, whether it ran or not."""
    title = "The compiled engine, layer by layer"
    if result.compiled is None:
        return absent(result, "compiled", title, ("compiled",))
    return _section("compiled", title, result.compiled, result)


def _section(name: str, title: str, found: Layers, result: Result) -> Section:
    scale, fine = scales(found)
    top = longest(found)
    tables = [_blocks(found, scale)] if found.blocks else []
    if top:
        tables.append(_table(top, fine, f"The {len(top)} longest layers" if len(top) > 1 else "The longest layer"))
    if found.roofline is not None:
        tables.append(_roofline(found.roofline, result))
    if len(found.layers) > len(top):
        tables.append(_table(found.layers, fine, f"All {count(len(found.layers))} layers", detail=True))
    timed = any(layer.seconds is not None for layer in found.layers)
    coverage = "" if found.coverage is None else f" INT8 covers {percent(found.coverage)} of what could run in it."
    return Section(
        name,
        title,
        lead=f"From {_SOURCES[found.source]}. Reformats and casts are {percent(found.reformats)} of the "
        f"{'time' if timed else 'layers'}.{coverage}",
        tables=tuple(filled(table) for table in tables),
        notes=tuple(note for note in (found.note, _method(found.roofline)) if note),
    )


def longest(found: Layers, most: int = TOP) -> tuple[LayerTime, ...]:
    """The layers that take longest, longest first; none where no times are known."""
    timed = [layer for layer in found.layers if layer.seconds is not None]
    return tuple(sorted(timed, key=lambda layer: -(layer.seconds or 0.0))[:most])


def scales(found: Layers) -> tuple[Scale, Scale]:
    """How times of blocks and of layers are written: in the unit of the longest block, the smaller ones finer."""
    totals: dict[str, float] = {}
    for layer in found.layers:
        totals[layer.block] = totals.get(layer.block, 0.0) + (layer.seconds or 0.0)
    unit = times([max(totals.values(), default=0.0)])
    blocks, layers = (unit.finer(each) for each in (totals.values(), [layer.seconds for layer in longest(found)]))
    most = unit.decimals + 1
    first, second = (Scale(unit.unit, unit.unit_size, min(each.decimals, most)) for each in (blocks, layers))
    return first, second


def _blocks(found: Layers, scale: Scale) -> Table:
    done = work(block.operations for block in found.blocks)
    moved = sizes(block.traffic for block in found.blocks)
    return Table(
        columns(
            ("block", "name"),
            "layers",
            (f"time ({scale.unit})", "key"),
            "share",
            f"work ({done.unit})",
            f"traffic ({moved.unit})",
        ),
        tuple(
            (
                block.block,
                count(block.layers),
                scale(block.seconds),
                percent(block.share),
                done(block.operations),
                moved(block.traffic),
            )
            for block in found.blocks
        ),
        title="By block of the network",
    )


def _table(found: Sequence[LayerTime], scale: Scale, title: str, detail: bool = False) -> Table:
    done, moved = work(layer.operations for layer in found), sizes(layer.traffic for layer in found)
    return Table(
        columns(
            ("layer", "mono"),
            ("kind", "text"),
            ("precision", "text"),
            (f"time ({scale.unit})", "key"),
            "share",
            f"work ({done.unit})",
            f"traffic ({moved.unit})",
        ),
        tuple(
            (
                layer.name,
                f"{layer.kind} (reformat)" if layer.reformat else layer.kind,
                layer.precision.upper(),
                scale(layer.seconds),
                percent(layer.share),
                done(layer.operations),
                moved(layer.traffic),
            )
            for layer in found
        ),
        title=title,
        detail=detail,
    )


def _roofline(roofline: Roofline, result: Result) -> Table:
    measured = next((loop.latency.p50 for loop in result.closed), None)
    time = times([roofline.floor])
    rows = [("memory, measured", giga([roofline.bandwidth], "GB/s").with_unit(roofline.bandwidth))]
    rows += [
        (f"{precision.upper()}, measured", giga([rate], "GOP/s").with_unit(rate))
        for precision, rate in roofline.rates.items()
    ]
    rows += [
        ("work of one run", work([roofline.operations]).with_unit(roofline.operations)),
        ("traffic of one run", sizes([roofline.traffic]).with_unit(roofline.traffic)),
        ("shortest time these allow", f"{time.with_unit(roofline.floor)}, bound by {roofline.bound}"),
    ]
    if measured is not None:
        rows.append(("share of the measured median", percent(roofline.floor / measured)))
    return Table(columns(("against what the machine can do", "name"), ""), tuple(rows), title="Roofline")


def _method(roofline: Roofline | None) -> str:
    return "" if roofline is None else f"How the machine's bounds were measured: {roofline.method}."
