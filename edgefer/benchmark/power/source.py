"""Where power is read from: a few supplies ("rails"), each in watts or as energy counted since some moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

SourceName = Literal["ina3221", "nvml", "rapl"]


@dataclass(frozen=True)
class SourceRail:
    """One supply. Those with `total` add up to what the source can see; the others are parts of them."""

    name: str
    total: bool


class PowerSource(Protocol):
    """A set of rails that are read together.

    Attributes:
        name: the kind, as in `result.Power.source`.
        rails: in the order in which `read` answers.
        cumulative: whether `read` gives joules that only grow (True) or watts at the moment (False).
        note: what the figures include and do not, in sentences.
    """

    name: SourceName
    rails: tuple[SourceRail, ...]
    cumulative: bool
    note: str

    def read(self) -> tuple[float | None, ...]:
        """Watts or joules of every rail now; None for one that did not answer."""
        ...

    def close(self) -> None:
        """Release what the source holds; afterwards it is not read."""
        ...
