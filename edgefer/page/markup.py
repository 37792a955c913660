"""The parts of a page that are no numbers: its environment, its style, commands and marked names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def environment(filters: Mapping[str, Callable[..., Any]], templates: Mapping[str, str] | None = None) -> Environment:
    """Where pages are made: everything that is put in is escaped, and a name that is not there is an error.

    Args:
        filters: functions by the name that templates call them by, beside `code`.
        templates: sources by the name that others include or import them by.
    """
    import jinja2

    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader(dict(templates or {})),
    )
    made.filters |= {**filters, "code": code}
    return made


def asset(package: str, name: str) -> str:
    """The text of a file that lies in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def style(*packages: str) -> Markup:
    """The style of every page, then the `style.css` of each package, for a `<style>` element."""
    from markupsafe import Markup

    return Markup("\n".join(asset(package, "style.css") for package in ("edgefer.page", *packages)))


def code(sentence: str) -> Markup:
    """Messages mark names by backticks; on a page they become what backticks stand for."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r'<span class="mono">\1</span>', str(escape(sentence))))


def wrapped(command: Sequence[str]) -> str:
    """A command with one option a line, continued as a shell does, so that a copy of it runs."""
    lines: list[list[str]] = [[]]
    for word in command:
        if word.startswith("-") and lines != [[]]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n    ".join(shlex.join(line) for line in lines)
