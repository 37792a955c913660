"""The report as one HTML page: no script, no external address, nothing that report.json does not hold."""

from __future__ import annotations

from pathlib import Path

from edgefer.atomic import write_bytes, write_text
from edgefer.bundle.manifest import Verdict
from edgefer.page import markup, text
from edgefer.readable import readable
from edgefer_export.report import plots
from edgefer_export.report.content import Report, to_json

_HERE = "edgefer_export.report"

_VERDICTS: dict[Verdict, str] = {
    "pass": "Within the budget",
    "fail": "Failed",
    "undecided": "Undecided: too few images to tell",
    "numeric": "Compared by numbers only: no labelled data",
    "not-run": "Not judged",
}


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    from markupsafe import Markup

    filters = {
        "percent": text.percent,
        "whole_percent": text.whole_percent,
        "points": text.points,
        "plain_points": text.plain_points,
        "count": text.count,
        "megabytes": text.megabytes,
        "seconds": text.seconds,
        "scientific": text.scientific,
        "plain": text.plain,
    }
    drawn = {name: Markup(svg) for name, svg in plots.draw_all(report).items()}
    return (
        markup.environment(filters)
        .from_string(markup.asset(_HERE, "template.html"))
        .render(
            report=report,
            plots=drawn,
            command=markup.wrapped(report.command),
            style=markup.style(_HERE),
            verdict_words=_VERDICTS,
        )
    )


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json into `folder`, which is made if need be; returns their paths in that order.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = readable(render(report))
    data = write_bytes(folder / "report.json", to_json(report))
    return write_text(folder / "report.html", page), data
