"""Why a part of a result is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgefer.benchmark.result import Result
from edgefer.benchmark.show.table import Section

NO_REASON = "It is not in this result, which does not say why."


def absent(result: Result, name: str, title: str, parts: Sequence[str], otherwise: str = NO_REASON) -> Section:
    """A section without content.

    Args:
        result: its `missing` may say why. A key may be a part's name, or begin with it ("against opencv").
        name: of the section.
        title: of the section.
        parts: the names under which the reason may be found.
        otherwise: what to say where there is none.
    """
    told = " ".join(
        reason if key in parts else f"{key}: {reason}" for key, reason in result.missing.items() if _belongs(key, parts)
    )
    return Section(name, title, absent=told or otherwise, parts=tuple(parts))


def not_measured(result: Result, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """What is not there and why: the sections without content, then whatever else `missing` names."""
    pairs = [(section.title, section.absent) for section in sections if section.absent]
    told = [part for section in sections if section.absent for part in section.parts]
    return pairs + [(key, reason) for key, reason in result.missing.items() if not _belongs(key, told)]


def _belongs(key: str, parts: Iterable[str]) -> bool:
    return any(key == part or (key.startswith(part) and key[len(part)] in " :.") for part in parts)
