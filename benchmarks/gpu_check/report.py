"""The check of a GPU as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.gpu_check.result import Figure, GpuCheck, SessionFigures, SoakFigures, WorkloadResult

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
    sessions = [each for part in check.parts.values() for each in part.sessions]
    if sessions:
        console.print(_sessions(sessions))
    soaks = [each for part in check.parts.values() for each in part.soaks]
    if soaks:
        console.print(_soaks(soaks))
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


def _sessions(sessions: list[SessionFigures]) -> Table:
    table = Table(title="one inference of a session, microseconds, medians with 95 % intervals")
    for name in ("engine", "what", "time", "beside"):
        table.add_column(name)
    for each in sessions:
        table.add_row(each.engine, "GPU, by events", _text(each.gpu), f"p99 over p50 {each.gpu_p99_over_p50:.3f}")
        how = "a graph" if each.replayed else "no graph"
        table.add_row("", f"infer, {how}", _text(each.wall), f"p99 {each.wall_p99 * 1e6:.2f}")
        table.add_row("", "infer beyond the GPU", _text(each.overhead), "")
        if each.bound_overhead is not None:
            table.add_row("", "the same of bound arrays", _text(each.bound_overhead), "")
        if each.plain is not None:
            table.add_row("", "infer without graphs", _text(each.plain), "")
        for name, stages in each.loading.items():
            said = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in stages.items())
            table.add_row("", f"opened {name}", f"{sum(stages.values()):.3f} s", said)
        for name, (least, most) in each.clocks.items():
            table.add_row("", f"clock {name}", f"{least / 1e6:.0f} to {most / 1e6:.0f} MHz", "")
        for line in each.warnings:
            table.add_row("", "mind", line, "")
    return table


def _soaks(soaks: list[SoakFigures]) -> Table:
    table = Table(title="memory over many inferences, KiB per 100,000 with 95 % intervals")
    for name in ("engine", "inferences", "seconds", "memory", "growth", "in use"):
        table.add_column(name)
    for each in soaks:
        for where, line in (("host", each.host), ("GPU", each.gpu)):
            if line is not None:
                low, middle, high = (value * 1e5 / 1024 for value in (line.low, line.per_run, line.high))
                table.add_row(
                    each.engine,
                    f"{each.inferences:,}",
                    f"{each.seconds:.0f}",
                    where,
                    f"{middle:.1f} ({low:.1f} to {high:.1f})",
                    f"{line.bytes_in_use / 2**20:.1f} MiB",
                )
    return table


def _goals(check: GpuCheck) -> Table:
    table = Table(title="goals; those for CBAM are for an H200 with a cold cache")
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
