"""The report as one HTML page: no script, no external address, nothing that report.json does not hold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from edgefer.atomic import write_bytes, write_text
from edgefer.bundle.manifest import Verdict
from edgefer.readable import readable
from edgefer_export.report import plots, text
from edgefer_export.report.content import Report, to_json

if TYPE_CHECKING:
    from markupsafe import Markup

_VERDICTS: dict[Verdict, str] = {
    "pass": "Within the budget",
    "fail": "Failed",
    "undecided": "Undecided: too few images to tell",
    "numeric": "Compared by numbers only: no labelled data",
    "not-run": "Not judged",
}


def render(report: Report) -> str:
    """The page. The same report gives the same text."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": text.percent,
        "whole_percent": text.whole_percent,
        "points": text.points,
        "plain_points": text.plain_points,
        "count": text.count,
        "megabytes": text.megabytes,
        "seconds": text.seconds,
        "scientific": text.scientific,
        "plain": text.plain,
        "code": _code,
    }
    drawn = {name: Markup(svg) for name, svg in plots.draw_all(report).items()}
    return environment.from_string(_asset("template.html")).render(
        report=report,
        plots=drawn,
        command=_wrapped(report.command),
        style=Markup(_asset("style.css")),
        verdict_words=_VERDICTS,
    )


def _code(sentence: str) -> Markup:
    # Messages mark names by backticks; here they become what backticks stand for.
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r'<span class="mono">\1</span>', str(escape(sentence))))


def _wrapped(command: Sequence[str]) -> str:
    # One option a line, continued as a shell does, so that a copy of it runs.
    lines: list[list[str]] = [[]]
    for word in command:
        if word.startswith("-") and lines != [[]]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n    ".join(shlex.join(line) for line in lines)


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json into `folder`, which is made if need be; returns their paths in that order.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = readable(render(report))
    data = write_bytes(folder / "report.json", to_json(report))
    return write_text(folder / "report.html", page), data


def _asset(name: str) -> str:
    return resources.files("edgefer_export.report").joinpath(name).read_text(encoding="utf-8")
