"""The series of a section as sparklines."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.result import ClosedLoop, OpenLoop, Power, Result
from edgefer.benchmark.show.layout import paragraph
from edgefer.benchmark.show.quantity import times
from edgefer.benchmark.show.screen import Screen
from edgefer.benchmark.show.series import bins, envelope
from edgefer.benchmark.show.settings import apart
from edgefer.benchmark.show.sparkline import sparkline

_BESIDE = 34  # columns for what stands beside a sparkline
_LONGEST = 72


def strips(name: str, result: Result, screen: Screen) -> str:
    """The sparklines of a section; empty where it has none.

    Args:
        name: of the section.
        result: any.
        screen: where they are shown.
    """
    width = min(screen.width - _BESIDE, _LONGEST)
    lines: list[str] = []
    if name == "closed":
        names = apart([loop.settings for loop in result.closed]).names
        for title, closed in zip(names, result.closed, strict=True):
            lines += _closed(title, closed, screen, width)
    if name == "open":
        for opened in result.opened:
            lines += _opened(opened, screen, width)
    if name == "power" and result.power is not None:
        lines += _power(result.power, screen, width)
    return "\n".join(lines)


def _closed(title: str, loop: ClosedLoop, screen: Screen, width: int) -> list[str]:
    found = envelope(loop.started, loop.durations, width)
    counts, edges = bins(loop.durations, width)
    # The root lets single runs be seen beside hundreds; a bin without any stays empty.
    heights = [count**0.5 if count else None for count in counts.tolist()]
    scale = times([loop.latency.p50])
    return [
        paragraph(f"{title}, over time and how many took how long", screen),
        _strip("median ", found.middle.tolist(), screen),
        _strip("longest", found.high.tolist(), screen),
        _strip("runs   ", heights, screen)
        + screen.safe(f"  {scale(float(edges[0]))} to {scale.with_unit(float(edges[-1]))}"),
    ]


def _opened(loop: OpenLoop, screen: Screen, width: int) -> list[str]:
    found = envelope(loop.arrived, loop.latencies, width)
    return [paragraph(f"{loop.rate:g} Hz, over time", screen), _strip("longest", found.high.tolist(), screen)]


def _power(power: Power, screen: Screen, width: int) -> list[str]:
    at = [sample.at for sample in power.samples]
    lines = []
    for index, rail in enumerate(power.rails):
        found = envelope(at, [sample.watts[index] for sample in power.samples], width)
        lines += [paragraph(f"{rail.name}, over time", screen), _strip("watts  ", found.middle.tolist(), screen)]
    return lines


def _strip(label: str, values: Sequence[float | None], screen: Screen) -> str:
    return f"  {label}  {sparkline(values, unicode=screen.unicode)}"
