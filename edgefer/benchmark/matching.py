"""Which parts of two results belong together: the same thing measured, and among several the likest settings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgefer.benchmark.differences import of_settings
from edgefer.benchmark.result import ClosedLoop, OpenLoop, Settings, Throughput

Part = TypeVar("Part", ClosedLoop, OpenLoop, Throughput)


@dataclass(frozen=True)
class Matched(Generic[Part]):
    """Pairs of a part of the base and one of the other result, and what is only in one of them, by name."""

    pairs: tuple[tuple[Part, Part], ...]
    unmatched: tuple[str, ...]


def match(base: Sequence[Part], other: Sequence[Part]) -> Matched[Part]:
    """Pair parts that measured the same thing, in the order of the base; each belongs to one pair at most."""
    candidates = sorted(
        (len(of_settings(mine.settings, theirs.settings)), i, j)
        for i, mine in enumerate(base)
        for j, theirs in enumerate(other)
        if _key(mine) == _key(theirs)
    )
    taken: dict[int, int] = {}
    for _, i, j in candidates:
        if i not in taken and j not in taken.values():
            taken[i] = j
    unmatched = [f"{name_of(part)} (only in the base)" for i, part in enumerate(base) if i not in taken]
    unmatched += [f"{name_of(part)} (not in the base)" for j, part in enumerate(other) if j not in taken.values()]
    return Matched(tuple((base[i], other[taken[i]]) for i in sorted(taken)), tuple(unmatched))


def name_of(part: ClosedLoop | OpenLoop | Throughput) -> str:
    """What a part measured, in words."""
    settings = part.settings
    if isinstance(part, Throughput):
        return f"throughput of {settings.measured}, batch {settings.batch}, {settings.streams} at once"
    how = f"{part.rate:g} frames a second" if isinstance(part, OpenLoop) else "one after the other"
    return f"{settings.measured}, {how}{_shape(settings)}"


def _shape(settings: Settings) -> str:
    batch = "" if settings.batch == 1 else f", batch {settings.batch}"
    return batch + ("" if settings.streams == 1 else f", {settings.streams} at once")


def _key(part: ClosedLoop | OpenLoop | Throughput) -> Hashable:
    settings = part.settings
    schedule = (part.rate, part.queue_limit) if isinstance(part, OpenLoop) else ()
    return settings.measured, settings.batch, settings.streams, schedule
