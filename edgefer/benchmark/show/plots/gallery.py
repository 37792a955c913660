"""Which pictures belong to which section of a result."""

from __future__ import annotations

from edgefer.benchmark.result import Result
from edgefer.benchmark.show.plots import cost, forest, latency, layers, open_loop, roofline, throughput, timeline
from edgefer.benchmark.show.plots.drawing import Drawing
from edgefer.benchmark.show.sections.rivals import VERDICTS
from edgefer.benchmark.show.settings import apart


def gallery(ident: str, result: Result) -> dict[str, list[Drawing]]:
    """The pictures by the name of their section; what a result lacks has none.

    Args:
        ident: begins every id within the pictures; unique on the page.
        result: any.
    """
    drawn: dict[str, list[Drawing | None]] = {
        "closed": [*_closed(ident, result), timeline.timeline(f"{ident}-time", result)],
        "open": _open(ident, result),
        "throughput": [throughput.curve(f"{ident}-rate", result.throughput)],
        "rivals": [
            forest.forest(
                f"{ident}-rivals",
                "Ratio of medians, ours over theirs",
                [(rival.name, rival.ratio, VERDICTS[rival.ratio.verdict]) for rival in result.rivals],
                ("ours is faster", "ours is slower"),
            )
        ],
    }
    if result.layers is not None:
        median = next((loop.latency.p50 for loop in result.closed), None)
        drawn["layers"] = [
            layers.blocks(f"{ident}-blocks", result.layers),
            layers.top(f"{ident}-layers", result.layers),
            roofline.roofline(f"{ident}-roof", result.layers, median),
        ]
    if result.compiled is not None:
        drawn["compiled"] = [layers.blocks(f"{ident}-engine", result.compiled)]
    if result.cold_start is not None:
        drawn["cold-start"] = [cost.stages(f"{ident}-cold", result.cold_start)]
    if result.power is not None:
        loop = next(iter(result.closed), None)
        span = None if loop is None else (loop.started[0], loop.started[-1] + loop.durations[-1])
        drawn["power"] = [cost.watts(f"{ident}-power", result.power, span)]
    return {name: [each for each in those if each is not None] for name, those in drawn.items()}


def _closed(ident: str, result: Result) -> list[Drawing | None]:
    loops = result.closed
    if not loops:
        return []
    names = apart([loop.settings for loop in loops]).names
    histograms = [
        latency.histogram(f"{ident}-hist{index}", name, loop.durations, loop.latency, wide=len(loops) == 1)
        for index, (name, loop) in enumerate(zip(names, loops, strict=True))
    ]
    series = [(name, loop.durations) for name, loop in zip(names, loops, strict=True)]
    return [*histograms, latency.tails(f"{ident}-tail", series)]


def _open(ident: str, result: Result) -> list[Drawing | None]:
    if not result.opened:
        return []
    names = apart([loop.settings for loop in result.opened]).names
    return [
        open_loop.arrivals(f"{ident}-open{index}", f"{name}, {loop.rate:g} Hz", loop)
        for index, (name, loop) in enumerate(zip(names, result.opened, strict=True))
    ]
