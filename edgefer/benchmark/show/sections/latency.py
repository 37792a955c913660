"""Latency: one run after the other, and at the rate of a camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgefer.benchmark.result import ClosedLoop, Latency, OpenLoop, Result, WarmUp
from edgefer.benchmark.show.absent import absent
from edgefer.benchmark.show.quantity import NONE, Scale, number, percent, span, times
from edgefer.benchmark.show.settings import MEASURED, Apart, apart
from edgefer.benchmark.show.table import Column, Section, Table, columns
from edgefer.page.text import count

_TAIL = (("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p999"), ("max", "maximum"))


def closed(result: Result) -> Section:
    """The closed loops."""
    title = "Latency, one run after the other"
    loops = result.closed
    if not loops:
        return absent(result, "closed", title, ("closed", "images"))
    told = apart([loop.settings for loop in loops])
    names = told.names
    table = latency_table(names, [loop.latency for loop in loops])
    return Section(
        "closed",
        title,
        lead=told.common,
        tables=(table,),
        notes=(
            *_meanings(loops),
            *_details(told),
            *(_warm_up(name, loop.warm_up) for name, loop in zip(names, loops, strict=True)),
        ),
        warnings=tuple(
            f"{name}: {_unsteady(loop.warm_up)}"
            for name, loop in zip(names, loops, strict=True)
            if not loop.warm_up.steady
        ),
    )


def opened(result: Result) -> Section:
    """The open loops."""
    title = "Latency at a fixed rate of arrivals"
    loops = result.opened
    if not loops:
        return absent(result, "open", title, ("open",))
    told = apart([loop.settings for loop in loops])
    names = tuple(f"{name}, {loop.rate:g} Hz" for name, loop in zip(told.names, loops, strict=True))
    header = columns(
        ("loop", "name"), "rate (Hz)", "time (s)", "arrived", "answered", "lost", "late", "longest queue", "queue limit"
    )
    rows = tuple(
        (
            name,
            f"{loop.rate:g}",
            number(loop.seconds, 1),
            count(loop.arrivals),
            count(loop.answered),
            count(len(loop.losses)),
            count(loop.over_period),
            count(loop.longest_queue),
            count(loop.queue_limit),
        )
        for name, loop in zip(names, loops, strict=True)
    )
    parts = [
        (f"{name}: {part}" if len(loops) > 1 else part, latency)
        for name, loop in zip(names, loops, strict=True)
        for part, latency in (
            ("from arrival to answer", loop.latency),
            ("the work alone", loop.service),
            ("waiting for its turn", loop.queueing),
        )
        if latency is not None
    ]
    tables = [Table(header, rows)]
    if parts:
        tables.append(latency_table([name for name, _ in parts], [latency for _, latency in parts]))
    tables += [table for name, loop in zip(names, loops, strict=True) for table in _losses(name, loop)]
    return Section(
        "open",
        title,
        lead=told.common,
        tables=tuple(tables),
        notes=(
            *_details(told),
            "Latency is counted from the scheduled arrival of a frame, so that time spent waiting behind others is in "
            "it. Late: answered after the next frame had arrived.",
        ),
        warnings=tuple(
            f"{name}: {loop.arrivals} frames arrived, {loop.answered} were answered and {len(loop.losses)} are "
            "accounted for as lost; these do not add up."
            for name, loop in zip(names, loops, strict=True)
            if loop.answered + len(loop.losses) != loop.arrivals
        ),
    )


def latency_table(names: Sequence[str], latencies: Sequence[Latency]) -> Table:
    """The figures of several samples below each other in one unit."""
    scale = times([latency.p50 for latency in latencies] + [latency.maximum for latency in latencies])
    fine = scale.finer([_width(latency) for latency in latencies], digits=1)
    middle = Scale(scale.unit, scale.unit_size, min(max(fine.decimals, scale.decimals + 1), scale.decimals + 2))
    jitter = scale.finer([latency.jitter for latency in latencies])
    confidence = {latency.median.confidence for latency in latencies}
    level = f"{100 * min(confidence):g} % " if len(confidence) == 1 else ""
    header = (
        *columns((f"times in {scale.unit}", "name"), "runs", ("p50", "key"), f"{level}interval"),
        *(Column(label) for label, _ in _TAIL),
        *columns("jitter", "variation"),
    )
    rows = tuple(
        (
            name,
            count(latency.count),
            middle(latency.p50),
            span(middle, latency.median.low, latency.median.high),
            *(scale(getattr(latency, field)) for _, field in _TAIL),
            jitter(latency.jitter),
            percent(latency.variation),
        )
        for name, latency in zip(names, latencies, strict=True)
    )
    return Table(header, rows)


def _width(latency: Latency) -> float:
    return latency.median.high - latency.median.low


def _meanings(loops: Sequence[ClosedLoop]) -> list[str]:
    kinds = dict.fromkeys(loop.settings.measured for loop in loops)
    notes = ["; ".join(f"{kind}: {MEASURED[kind]}" for kind in kinds) + "."]
    if any(loop.latency.p999 is None for loop in loops):
        notes.append(f"{NONE}: too few runs to tell this percentile from the largest (p99.9 needs 1 000).")
    notes.append(
        "Jitter is the mean difference of two runs that follow each other; variation the standard deviation in "
        "percent of the mean."
    )
    return notes


def _details(told: Apart) -> tuple[str, ...]:
    return tuple(f"{name}: {detail}." for name, detail in zip(told.names, told.details, strict=True) if detail)


def _warm_up(name: str, warm_up: WarmUp) -> str:
    state = "until the median stood still" if warm_up.steady else "and was not steady"
    return f"{name}: warmed up for {count(warm_up.runs)} runs, {number(warm_up.seconds, 2)} s, {state}."


def _unsteady(warm_up: WarmUp) -> str:
    reason = f" ({warm_up.limit})" if warm_up.limit else ""
    return f"the median still moved when the warm-up ended{reason}; these figures are not those of a steady state."


def _losses(name: str, loop: OpenLoop) -> list[Table]:
    if not loop.losses:
        return []
    start = loop.losses[0].arrived if not loop.arrived else min(loop.arrived[0], loop.losses[0].arrived)
    reasons = Counter(loss.reason for loss in loop.losses)
    summary = Table(
        columns((f"why frames were lost ({name})", "text"), "frames"),
        tuple((reason, count(frames)) for reason, frames in reasons.most_common()),
    )
    every = Table(
        columns("frame", "arrived after (s)", ("why", "text")),
        tuple((count(loss.frame), number(loss.arrived - start, 3), loss.reason) for loss in loop.losses),
        title=f"Every frame lost ({name})",
        detail=True,
    )
    return [summary, every]
