"""A layer as any of the profilers gives it, and the record made of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgefer.benchmark.layers.work import INT8
from edgefer.benchmark.result import BlockTime, Layers, LayerTime, Roofline

Source = Literal["tensorrt-profiler", "onnxruntime-profiler", "openvino-profiler", "compile-report"]


@dataclass(frozen=True)
class Row:
    """One layer. `product`: it holds a convolution or matrix product. `parameters`: bytes of its constants. None is
    "not known"."""

    name: str
    block: str
    kind: str
    precision: str
    seconds: float | None
    reformat: bool
    product: bool
    operations: float | None
    traffic: float | None
    parameters: float | None = None


@dataclass(frozen=True)
class Profile:
    """What a profiler found: the layers in the order they run, and what a reader must know about them.

    `interface` is the bytes of the network's inputs and outputs, None where they are not known.
    """

    source: Source
    rows: tuple[Row, ...]
    note: str = ""
    interface: float | None = None


def record(profile: Profile, roofline: Roofline | None = None, note: str = "") -> Layers:
    """Shares, blocks, reformats and INT8 coverage of a profile."""
    rows = profile.rows
    seconds = _total([row.seconds for row in rows])
    return Layers(
        source=profile.source,
        layers=tuple(_layer(row, seconds) for row in rows),
        blocks=_blocks(rows, seconds),
        reformats=_reformats(rows, seconds),
        coverage=coverage(rows),
        roofline=roofline,
        note="; ".join(text for text in (profile.note, note) if text),
    )


def coverage(rows: Sequence[Row]) -> float | None:
    """The share of the operations of convolutions and products (of their number, where operations are not known) that
    run in INT8; None without any."""
    products = [row for row in rows if row.product]
    if not products:
        return None
    total = _total([row.operations for row in products])
    weights = [1.0 if not total else row.operations or 0.0 for row in products]
    quantised = sum(weight for row, weight in zip(products, weights, strict=True) if row.precision in INT8)
    return quantised / sum(weights)


def _reformats(rows: Sequence[Row], seconds: float | None) -> float:
    moved = [row for row in rows if row.reformat]
    if seconds:
        return sum(row.seconds or 0.0 for row in moved) / seconds
    return len(moved) / len(rows) if rows else 0.0


def _layer(row: Row, total: float | None) -> LayerTime:
    return LayerTime(
        name=row.name,
        block=row.block,
        kind=row.kind,
        precision=row.precision,
        seconds=row.seconds,
        share=_share(row.seconds, total),
        reformat=row.reformat,
        operations=row.operations,
        traffic=row.traffic,
    )


def _blocks(rows: Sequence[Row], total: float | None) -> tuple[BlockTime, ...]:
    found = []
    for name in dict.fromkeys(row.block for row in rows):
        members = [row for row in rows if row.block == name]
        seconds = _total([row.seconds for row in members])
        found.append(
            BlockTime(
                block=name,
                layers=len(members),
                seconds=seconds,
                share=_share(seconds, total),
                operations=_total([row.operations for row in members]),
                traffic=_total([row.traffic for row in members]),
            )
        )
    return tuple(found)


def _share(seconds: float | None, total: float | None) -> float | None:
    return None if seconds is None or not total else seconds / total


def _total(values: Sequence[float | None]) -> float | None:
    """The sum, None where one is not known: a part must not pass for the whole."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
