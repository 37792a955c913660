"""Images a second over batch and number of streams."""

from __future__ import annotations

from edgefer.benchmark.result import Result
from edgefer.benchmark.show.absent import absent
from edgefer.benchmark.show.quantity import number, rates, span, times
from edgefer.benchmark.show.settings import apart
from edgefer.benchmark.show.table import Kind, Section, Table, columns
from edgefer.page.text import count


def throughput(result: Result) -> Section:
    """Every batch and number of streams that was measured."""
    points = result.throughput
    title = "Throughput"
    if not points:
        return absent(result, "throughput", title, ("throughput",))
    told = apart([point.settings for point in points], columns=("batch", "streams"), named=())
    rate = rates(point.rate for point in points)
    time = times(point.latency.p50 for point in points)
    best = max(points, key=lambda point: point.rate)
    named = any(told.names)
    first: tuple[tuple[str, Kind], ...] = (("", "name"),) if named else ()
    header = columns(
        *first,
        "batch",
        "streams",
        ("images/s", "key"),
        f"{100 * best.interval.confidence:g} % interval",
        f"p50 of a batch ({time.unit})",
        f"p95 of a batch ({time.unit})",
        "images",
        "time (s)",
    )
    rows = tuple(
        (
            *([name] if named else []),
            count(point.settings.batch),
            count(point.settings.streams),
            rate(point.rate),
            span(rate, point.interval.low, point.interval.high),
            time(point.latency.p50),
            time(point.latency.p95),
            count(point.images),
            number(point.seconds, 1),
        )
        for name, point in zip(told.names, points, strict=True)
    )
    most = f"At most {rate(best.rate)} images/s, at batch {best.settings.batch} and streams {best.settings.streams}."
    details = [each for each in dict.fromkeys(told.details) if each]
    return Section("throughput", title, lead=told.common, tables=(Table(header, rows),), notes=(most, *details))
