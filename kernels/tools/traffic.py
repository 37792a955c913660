"""What each operation launches and moves at the stages of a ResNet at 224, as its launch plan has it; nothing is run.

    python -m kernels.tools.traffic [--images N] [--write docs/kernels.md]

prints a table for AGX Orin, or puts those for one image and for eight in the place of the ones in a page.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgefer.atomic import write_text
from edgefer.kernels import cbam, channel_gate, gated_fusion, gated_pool, local_gate
from edgefer.kernels.forms import F16_HWC, I8_CHW32
from edgefer.kernels.plan import ORIN, Gpu, Launch, Plan

STAGES = ((64, 56), (128, 28), (256, 14), (512, 7))
"""Channels, and height and width, after the four stages of a ResNet-18 or -34 at 224."""
REDUCTION = 16
"""Of the channel gates' hidden layers; that of LocalGate has a quarter of the channels."""
FORMS = (F16_HWC, I8_CHW32)
"""Of maps in a network in FP16 and in one in INT8; weights are FP16 in both."""
IMAGES = (1, 8)
_SCALE = 0.05
_KB = 1000
_MARK = "<!-- traffic {}: written by python -m kernels.tools.traffic -->"


@dataclass(frozen=True)
class Row:
    """One operation on one map: its plan, the bytes that it must move, those that any kernel would have to, and those
    that its blocks ask for, what several of them read counted as often (None: not counted)."""

    operation: str
    form: str
    map: str
    plan: Plan
    moved: int
    floor: int
    requested: int | None


def rows(images: int, gpu: Gpu = ORIN) -> Iterator[Row]:
    """The operations in the forms that neighbouring convolutions use, `images` at a time."""
    for form in FORMS:
        for channels, side in STAGES:
            node = cbam.Cbam(
                (images, channels, side, side),
                channels // REDUCTION,
                *(form, form, "f16"),
                relu=True,
                residual=True,
                x_scale=_SCALE,
                r_scale=_SCALE,
                y_scale=_SCALE,
            )
            yield _row("CbamAttention", cbam, node, f"{channels}×{side}×{side}", gpu)
    for form in FORMS:
        for channels, side in STAGES:
            squeeze = channel_gate.ChannelGate(
                (images, channels, side, side),
                channels // REDUCTION,
                *(form, form, "f16"),
                x_scale=_SCALE,
                y_scale=_SCALE,
            )
            yield _row("ChannelGate", channel_gate, squeeze, f"{channels}×{side}×{side}", gpu)
    channels, side = STAGES[-1]
    shape, size = (images, channels, side, side), f"{channels}×{side}×{side}"
    for form in FORMS:
        pool = gated_pool.GatedPool(shape, form, "f16", True, _SCALE)
        yield _row("GatedPool", gated_pool, pool, size, gpu)
        fusion = gated_fusion.GatedFusion(shape, shape, form, "f16", "f16", True, True, True, _SCALE, _SCALE)
        yield _row("GatedFusion", gated_fusion, fusion, f"2 of {size}", gpu)
        gate = local_gate.LocalGate(shape, channels // 4, form, "f16", _SCALE)
        yield _row("LocalGate", local_gate, gate, size, gpu)


def table(images: int, gpu: Gpu = ORIN) -> str:
    """The rows in Markdown."""
    lines = [
        "| operation | form | map | launches: blocks × threads, shared memory | moved | floor | ratio | asked for |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(images, gpu):
        launches = "; then ".join(_words(launch) for launch in row.plan.launches)
        requested = "–" if row.requested is None else _kilobytes(row.requested)
        numbers = f"{_kilobytes(row.moved)} | {_kilobytes(row.floor)} | {row.moved / row.floor:.2f} | {requested}"
        lines.append(f"| {row.operation} | `{row.form}` | {row.map} | {launches} | {numbers} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """`page` with the tables between its marks made anew.

    Raises:
        ValueError: a mark is missing.
    """
    for images in IMAGES:
        begin, end = _MARK.format(images), _MARK.format(f"{images} end")
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        count = len(pattern.findall(page))
        if count != 1:
            raise ValueError(f"the page has {count} pairs of marks for {images} images, expected one: {begin}")
        before, after = pattern.split(page)
        page = f"{before}{begin}\n\n{table(images)}\n\n{end}{after}"
    return page


def _row(operation: str, module: ModuleType, node: Any, size: str, gpu: Gpu) -> Row:
    plan: Plan = module.plan(node, gpu)
    requested = module.bytes_requested(node, gpu) if hasattr(module, "bytes_requested") else None
    return Row(
        operation, node.form.code, size, plan, module.bytes_moved(node, plan), module.floor_bytes(node), requested
    )


def _words(launch: Launch) -> str:
    blocks = launch.grid[0] * launch.grid[1] * launch.grid[2]
    return f"{blocks} × {launch.block}, {_kilobytes(launch.shared_bytes)}"


def _kilobytes(count: int) -> str:
    return f"{count / _KB:,.1f} KB" if count < 100 * _KB else f"{count / _KB:,.0f} KB"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kernels.tools.traffic")
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the tables of this page")
    options = parser.parse_args(arguments)
    if options.write is None:
        print(table(options.images))
    else:
        write_text(options.write, written(options.write.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
