"""A result as text for a terminal."""

from __future__ import annotations

from edgefer.benchmark.compare import Comparison
from edgefer.benchmark.result import Result
from edgefer.benchmark.show.absent import not_measured
from edgefer.benchmark.show.layout import bulleted, laid_out, paragraph
from edgefer.benchmark.show.quantity import percent
from edgefer.benchmark.show.screen import Screen, untied
from edgefer.benchmark.show.sections import sections
from edgefer.benchmark.show.sections.comparison import comparisons
from edgefer.benchmark.show.strips import strips
from edgefer.benchmark.show.table import Section
from edgefer.page.text import count


def text(result: Result, screen: Screen | None = None) -> str:
    """A result in plain text: what was measured, warnings, then each subject with its table.

    Args:
        result: any; parts that it lacks are named with the reason.
        screen: where it is shown; None is standard output.
    """
    place = Screen.here() if screen is None else screen
    blocks = [_subject(result, place)]
    found = sections(result)
    warnings = tuple(warning for section in found for warning in section.warnings)
    if warnings:
        blocks.append(bulleted("WARNING", warnings, place, "!"))
    blocks += [_section(section, strips(section.name, result, place), place) for section in found if not section.absent]
    missing = [f"{name}: {reason}" for name, reason in not_measured(result, found)]
    if missing:
        blocks.append(bulleted("Not measured", missing, place, "-"))
    return untied("\n\n".join(blocks))


def comparison_text(comparison: Comparison, screen: Screen | None = None) -> str:
    """A comparison in plain text: what makes it unfair, then for each result the ratios and what differs.

    Args:
        comparison: of two results or more.
        screen: where it is shown; None is standard output.
    """
    place = Screen.here() if screen is None else screen
    found = comparisons(comparison)
    warnings = [warning for section in found for warning in section.warnings]
    blocks = [bulleted("WARNING", warnings, place, "!")] if warnings else []
    return untied("\n\n".join([*blocks, *(_section(section, "", place) for section in found)]))


def _subject(result: Result, place: Screen) -> str:
    subject, machine = result.subject, result.conditions.machine
    accuracy = "" if subject.accuracy is None else f" · accuracy {percent(subject.accuracy, 2)}"
    where = [machine.board or machine.cpu, f"{machine.cpus} CPUs", machine.gpu, machine.power_mode, machine.system]
    lines = [
        f"{subject.network} {subject.precision.upper()} · {subject.bundle} · sha256 {subject.digest[:12]}",
        f"{count(subject.parameters)} parameters · graph {subject.graph} · verdict {subject.verdict}{accuracy}",
        " · ".join(each for each in where if each),
        f"edgefer {result.edgefer} · {result.created}",
    ]
    return "\n".join(paragraph(line, place) for line in lines)


def _section(section: Section, drawn: str, place: Screen) -> str:
    title = paragraph(section.title, place)
    lines = [title, "=" * max(map(len, title.splitlines()))]
    if section.lead:
        lines.append(paragraph(section.lead, place))
    tables = [laid_out(table, place) for table in section.tables if not table.detail]
    lines += [each for table in tables for each in ("", table)]
    if drawn:
        lines += ["", drawn]
    if section.notes:
        lines += ["", *(paragraph(note, place) for note in section.notes)]
    return "\n".join(lines)
