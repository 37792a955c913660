"""Progress of long steps, told to whoever listens: a terminal, or nobody.

Steps take a `Reporter` and call `task`; they neither know nor care whether a bar is drawn. Bars go to standard error
and only to a terminal, so that standard output stays what the caller asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[[int], None]


def show(advance: Advance, part: str) -> None:
    """Name the part of a task that is at work, where the reporter has room for it; `advance` is what `task` gave."""
    named = getattr(advance, "show", None)
    if named is not None:
        named(part)


class Reporter(Protocol):
    """What a step may say while it runs."""

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a task of `total` units (None: unknown); the value is called with units done since the last call."""

    def note(self, text: str) -> None:
        """Say something worth reading once, such as a fall-back that was taken."""


class Silent:
    """A reporter that says nothing and keeps the notes, for tests and for callers who want only the result."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        yield lambda units: None

    def note(self, text: str) -> None:
        self.notes.append(text)


class _Bar:
    """One bar of a terminal, which can name the part that is at work beside the task."""

    def __init__(self, progress: Progress, name: str, total: int | None) -> None:
        self._progress, self._name = progress, name
        self._handle = progress.add_task(name, total=total)

    def __call__(self, units: int) -> None:
        self._progress.advance(self._handle, units)

    def show(self, part: str) -> None:
        from rich.markup import escape

        self._progress.update(self._handle, description=escape(f"{self._name}: {part}" if part else self._name))


class Terminal:
    """A reporter that draws bars on standard error when that is a terminal, and prints notes there in any case."""

    def __init__(self) -> None:
        from rich.console import Console

        self.notes: list[str] = []
        self._console = Console(file=sys.stderr)

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Advance]:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
        )
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        ) as progress:
            yield _Bar(progress, name, total)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
