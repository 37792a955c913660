"""The check of a GPU as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.gpu_check.result import Figure, GpuCheck, WorkloadResult

WIDTH = 140


def show(check: GpuCheck, console: Console) -> None:
    """Parts, timings, goals, and what is wrong."""
    device = check.device
    console.print(
        f"{device.name}, compute capability {device.compute_capability}, driver for CUDA {device.driver}, "
        f"{device.binary} made with CUDA {device.toolkit}"
    )
    console.print(_parts(check))
    blocks = [block for part in check.parts.values() for block in part.workloads]
    if blocks:
        console.print(_timings(blocks))
    if check.goals:
        console.print(_goals(check))
    for line in check.failed:
        console.print(f"WRONG: {line}")
    if not check.failed:
        console.print("nothing is wrong")


def _parts(check: GpuCheck) -> Table:
    table = Table(title="parts")
    for name in ("part", "check", "state", "found"):
        table.add_column(name)
    for name, part in check.parts.items():
        table.add_row(name, "", part.state, part.reason)
        for each in part.checks:
            table.add_row("", each.name, each.state, each.found[:200])
        if part.baselines is not None:
            rate = part.baselines.copy_bytes_per_second
            table.add_row("", "empty node", "", _text(part.baselines.empty_node))
            table.add_row(
                "", "copy", "", f"{rate.median / 1e9:.0f} GB/s ({rate.low / 1e9:.0f} to {rate.high / 1e9:.0f})"
            )
    return table


def _timings(blocks: list[WorkloadResult]) -> Table:
    table = Table(title="microseconds, medians with 95 % intervals; ratios are to edgefer in the same rounds")
    for name in ("workload", "way", "cache", "time", "ratio"):
        table.add_column(name)
    for block in blocks:
        first = block.name
        for timing in block.timings:
            ratio = "" if timing.ratio is None else f"{timing.ratio.median:.2f}"
            table.add_row(first, timing.way, timing.cache, _text(timing.figure), ratio)
            first = ""
        for way, why in block.absent.items():
            table.add_row(first, way, "", f"not measured: {why[:80]}", "")
            first = ""
    return table


def _goals(check: GpuCheck) -> Table:
    table = Table(title="goals, which are for an H200 with a cold cache")
    for name in ("goal", "workload", "limit", "found", "met", "beside"):
        table.add_column(name)
    for goal in check.goals:
        found = "not measured" if goal.found is None else f"{goal.found:.2f}"
        met = {None: "", True: "yes", False: "NO"}[goal.met]
        beside = ", ".join(f"{name} {value:.3g}" for name, value in goal.beside.items() if value is not None)
        table.add_row(goal.name, goal.workload, f"{goal.limit:g}", found, met, beside)
    return table


def _text(figure: Figure) -> str:
    return f"{figure.median * 1e6:.2f} ({figure.low * 1e6:.2f} to {figure.high * 1e6:.2f})"
