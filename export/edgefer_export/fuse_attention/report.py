"""What a search for attention has found, and what it has nearly found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

_NAMED = 3


@dataclass(frozen=True)
class Found:
    """A block: `kind` is the operator that it became, or `attention`; `name` that of its module; `form` what it has."""

    kind: str
    name: str
    form: str = ""


@dataclass(frozen=True)
class Near:
    """What was nearly a block, or was one and stays as it is: its kind, its name, and why."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class FusionReport:
    """All that was found. `near` is left as it was in the graph."""

    found: tuple[Found, ...] = ()
    near: tuple[Near, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many blocks of each kind were found."""
        return dict(Counter(each.kind for each in self.found))

    def sentences(self) -> tuple[str, ...]:
        """A line for each kind that was found, and one for each reason why something was not."""
        found: dict[str, list[str]] = {}
        for block in self.found:
            found.setdefault(f"{block.kind}{f' ({block.form})' if block.form else ''}", []).append(block.name)
        near: dict[str, list[str]] = {}
        for each in self.near:
            near.setdefault(f"{each.kind} left as it is, {each.reason}", []).append(each.name)
        return tuple(f"{len(names)} x {what}: {_listed(names)}" for what, names in (*found.items(), *near.items()))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
