"""Tables and sentences laid out for a screen of a certain width."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from edgefer.benchmark.show.screen import Screen
from edgefer.benchmark.show.table import Table


def laid_out(table: Table, screen: Screen) -> str:
    """The table, numbers set to the right; row by row where its columns do not fit beside each other."""
    title = [screen.safe(table.title)] if table.title else []
    headers = [screen.safe(column.header) for column in table.columns]
    rows = [[screen.safe(cell) for cell in row] for row in table.rows]
    drawn = _drawn(table, headers, rows, screen.width)
    if max(map(len, drawn.splitlines()), default=0) > screen.width:
        heading = [headers[0]] if table.columns[0].named and headers[0] else []
        drawn = "\n".join([*heading, *(_record(table, headers, row, screen) for row in rows)])
    return "\n".join([*title, drawn])


def paragraph(sentence: str, screen: Screen) -> str:
    """A sentence wrapped to the screen."""
    return textwrap.fill(screen.safe(sentence), screen.width, subsequent_indent="  ", break_on_hyphens=False)


def bulleted(title: str, lines: Sequence[str], screen: Screen, mark: str) -> str:
    """A title and one paragraph a line, each behind a mark."""
    return "\n".join([screen.safe(title), *(paragraph(f"{mark} {line}", screen) for line in lines)])


def _drawn(table: Table, headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    from rich.box import ASCII, Box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    rule = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
    made = RichTable(box=rule if any(headers) else ASCII, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    if not any(headers):
        made.box, made.show_header = None, False
    for column, header in zip(table.columns, headers, strict=True):
        wraps = column.kind in ("text", "mono", "name") and len(table.columns) < 4
        made.add_column(Text(header), justify="right" if column.right else "left", no_wrap=not wraps, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    target = io.StringIO()
    # As wide as the widest table: whether that fits is for the caller to see, not for cells to be cut.
    console = Console(
        file=target, width=width if len(table.columns) < 4 else 10_000, color_system=None, legacy_windows=False
    )
    console.print(made)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def _record(table: Table, headers: Sequence[str], row: Sequence[str], screen: Screen) -> str:
    heading = textwrap.wrap(row[0], screen.width - 2, initial_indent="  ") if table.columns[0].named else []
    pairs = [f"{header} {cell}" for header, cell in zip(headers, row, strict=True) if cell][
        1 if table.columns[0].named else 0 :
    ]
    body = textwrap.fill(
        "   ".join(pair.replace(" ", "\0") for pair in pairs), screen.width - 4, break_on_hyphens=False
    ).replace("\0", " ")
    return "\n".join([*heading, textwrap.indent(body, "    ")])
