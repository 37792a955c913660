"""Results as one HTML page: no script, no external address, every picture drawn within it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgefer.benchmark.compare import Comparison
from edgefer.benchmark.result import SCHEMA_VERSION, Result
from edgefer.benchmark.show.absent import not_measured
from edgefer.benchmark.show.overview import beside_each_other, candidates, carrying, names, unlike
from edgefer.benchmark.show.plots.drawing import Drawing
from edgefer.benchmark.show.quantity import energies, percent, rates, sizes, times
from edgefer.benchmark.show.screen import Screen
from edgefer.benchmark.show.sections import sections
from edgefer.benchmark.show.sections.comparison import comparisons, word
from edgefer.benchmark.show.table import Section
from edgefer.errors import EnvironmentMismatch
from edgefer.page import markup
from edgefer.page.text import count
from edgefer.readable import readable

_HERE = "edgefer.benchmark.show"


@dataclass(frozen=True)
class _Shown:
    ident: str
    section: Section
    drawings: Sequence[Drawing] = ()


def page(results: Sequence[Result], comparison: Comparison | None = None) -> str:
    """The page. The same results give the same text.

    Args:
        results: one, or several to lay beside each other; with none the page says so.
        comparison: of these results.

    Raises:
        EnvironmentMismatch: matplotlib or jinja2 is missing.
    """
    _require("matplotlib", "jinja2")
    labels = names(results)
    shown = [_result(f"r{index}", name, each) for index, (name, each) in enumerate(zip(labels, results, strict=True))]
    templates = {name: markup.asset(f"{_HERE}.templates", name) for name in ("page.html", "parts.html")}
    environment = markup.environment({}, templates)
    text = environment.get_template("page.html").render(
        title=_title(labels),
        style=markup.style(_HERE),
        results=shown,
        overview=_overview(results, comparison) if len(results) > 1 or comparison is not None else None,
        schema=SCHEMA_VERSION,
    )
    return readable(text)


def _require(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == package
            raise EnvironmentMismatch(
                f"The page of a benchmark needs the package `{package}`, which "
                f"{'is not installed' if missing else 'is installed but cannot be loaded'}.",
                hint="pip install 'edgefer[benchmark]', or leave the page out: text and JSON do not need it",
                details="" if missing else str(error),
            ) from error


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return _clean(labels[0])
    return f"{len(labels)} benchmarks" if labels else "No benchmark"


def _result(ident: str, name: str, result: Result) -> dict[str, Any]:
    from edgefer.benchmark.show.plots.gallery import gallery

    drawn = gallery(ident, result)
    found = sections(result)
    subject = result.subject
    machine = result.conditions.machine
    meta = [subject.bundle, f"{count(subject.parameters)} parameters", machine.board or machine.cpu, result.created]
    return {
        "name": _clean(name),
        "meta": _clean(" · ".join(meta)),
        "command": markup.wrapped(result.command) if result.command else "",
        "warnings": [warning for section in found for warning in section.warnings],
        "headline": _headline(result),
        "sections": [
            _Shown(f"{ident}-{section.name}", section, drawn.get(section.name, ()))
            for section in found
            if not section.absent
        ],
        "missing": not_measured(result, found),
    }


def _headline(result: Result) -> list[tuple[str, str]]:
    pairs = []
    for loop in result.closed[:1]:
        latency = loop.latency
        scale = times([latency.p50])
        pairs.append(("Median latency", scale.with_unit(latency.p50)))
        tail = ("99 % are below", latency.p99) if latency.p99 is not None else ("Longest", latency.maximum)
        pairs.append((tail[0], scale.with_unit(tail[1])))
    if result.throughput:
        best = max(result.throughput, key=lambda point: point.rate)
        pairs.append(
            (
                f"Images/s, batch {best.settings.batch}, {best.settings.streams} at once",
                rates([best.rate])(best.rate),
            )
        )
    if result.power is not None and result.power.per_inference is not None:
        energy = result.power.per_inference
        pairs.append(("Energy above idle", energies([energy]).with_unit(energy)))
    if result.subject.accuracy is not None:
        pairs.append(("Accuracy", percent(result.subject.accuracy, 2)))
    if result.memory is not None and result.memory.bundle is not None:
        pairs.append(("Size", sizes([]).with_unit(result.memory.bundle)))
    return pairs


def _overview(results: Sequence[Result], comparison: Comparison | None) -> dict[str, Any]:
    from edgefer.benchmark.show.plots.frontier import frontier
    from edgefer.benchmark.show.plots.latency import tails

    section = beside_each_other(results)
    series = [
        (name, result.closed[0].durations)
        for name, result in zip(names(results), results, strict=True)
        if result.closed
    ]
    drawings = [frontier("frontier", candidates(results)), tails("all-tails", series) if series else None]
    compared = [] if comparison is None else _compared(comparison, names(results))
    warnings = unlike(results) if comparison is None else [each for one in compared for each in one.section.warnings]
    return {
        "sections": [*compared, _Shown("overview", section, [each for each in drawings if each is not None])],
        "warnings": [*warnings, *carrying(results)],
    }


def _compared(comparison: Comparison, labels: Sequence[str]) -> list[_Shown]:
    from edgefer.benchmark.show.plots.forest import forest

    shown = []
    for other, section in zip(comparison.others, comparisons(comparison, labels), strict=True):
        ratios = [(figure.what, figure.ratio, word(figure)) for figure in other.figures]
        drawn = forest(section.name, "Ratio of times, other over base", ratios, ("other is faster", "other is slower"))
        shown.append(_Shown(f"section-{section.name}", section, [] if drawn is None else [drawn]))
    return shown


def _clean(text: str) -> str:
    return Screen().safe(text)
