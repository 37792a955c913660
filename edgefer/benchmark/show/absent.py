"""Why a part of a result is not there."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.benchmark.result import Result
from edgefer.benchmark.show.table import Section

NO_REASON = "It is not in this result, which does not say why."


def reasons(result: Result, *parts: str) -> tuple[str, ...]:
    """What `missing` says of any of `parts`: a key may be the part's name, or begin with it ("against opencv")."""
    return tuple(
        reason if _plain(key) in {_plain(part) for part in parts} else f"{key}: {reason}"
        for key, reason in result.missing.items()
        if any(_belongs(_plain(key), _plain(part)) for part in parts)
    )


def why(result: Result, *parts: str) -> str:
    """The reasons as one text, or that there is none."""
    return " ".join(reasons(result, *parts)) or NO_REASON


def not_measured(result: Result, sections: Sequence[Section]) -> list[tuple[str, str]]:
    """What is not there and why: the sections without content, then whatever else `missing` names."""
    pairs = [(section.title, section.absent) for section in sections if section.absent]
    told = " ".join(reason for _, reason in pairs)
    return pairs + [(name, reason) for name, reason in result.missing.items() if reason not in told]


def _plain(key: str) -> str:
    return key.lower().replace("_", "-")


def _belongs(key: str, part: str) -> bool:
    return key == part or (key.startswith(part) and not key[len(part)].isalnum() and key[len(part)] != "-")
