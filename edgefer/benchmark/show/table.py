"""A table before it is known where it will be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgefer.benchmark.show.quantity import NONE

Kind = Literal["name", "number", "key", "text", "verdict", "mono"]


@dataclass(frozen=True)
class Column:
    """One column. Units belong in `header`.

    `kind`: "name" heads the row, "number" is set to the right, "key" is a number that the eye should find first,
    "verdict" is one of the words of a comparison.
    """

    header: str
    kind: Kind = "number"

    @property
    def right(self) -> bool:
        """Whether its cells end at the same column."""
        return self.kind in ("number", "key")

    @property
    def named(self) -> bool:
        """Whether its cells are names or sentences."""
        return self.kind in ("name", "mono", "text")


@dataclass(frozen=True)
class Table:
    """Rows of text. `detail` marks one that is too long for a terminal and folded on a page, under `title`."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    detail: bool = False


@dataclass(frozen=True)
class Section:
    """One subject of a result: sentences, tables, notes. `absent` says why there is nothing, where that is
    so, and `parts` are the names under which a result says it."""

    name: str
    title: str
    lead: str = ""
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    absent: str = ""
    parts: tuple[str, ...] = ()


def filled(table: Table) -> Table:
    """The table without those columns of numbers that hold none."""
    kept = [
        index
        for index, column in enumerate(table.columns)
        if not column.right or any(row[index] not in ("", NONE) for row in table.rows)
    ]
    rows = tuple(tuple(row[index] for index in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows)


def columns(*headers: tuple[str, Kind] | str) -> tuple[Column, ...]:
    """Columns from headers; a bare header is of numbers."""
    return tuple(Column(each) if isinstance(each, str) else Column(*each) for each in headers)
