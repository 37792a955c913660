"""Where text is shown: how wide, and which characters it can write."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from dataclasses import dataclass

_FALL_BACK = {
    "–": "-", "—": "-", "−": "-", "·": "|", "×": "x", "…": "...", "→": "->", "←": "<-", "°": " deg ",
    "µ": "u", "≤": "<=", "≥": ">=", "±": "+-", "│": "|", "─": "-", "√": "sqrt",
}  # fmt: skip
_PLAIN_WIDTH = 100
_NARROW = "\u202f"
TIED = "\u00a0"


@dataclass(frozen=True)
class Screen:
    """A place for text.

    Args:
        width: columns; tables that need more are written row by row.
        unicode: whether block elements and signs beyond ASCII can be written.
    """

    width: int = _PLAIN_WIDTH
    unicode: bool = True

    @classmethod
    def here(cls) -> Screen:
        """Standard output: as wide as its terminal, or as `COLUMNS` says, or 100 columns."""
        # The verbs of the command line run with `sys.stdout` turned aside; what they answer goes to the original.
        stream = sys.__stdout__ or sys.stdout
        width = shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns
        return cls(width=max(40, width), unicode=_writes_blocks(getattr(stream, "encoding", None)))

    def safe(self, text: str) -> str:
        """`text` in a line: no control characters, which a terminal would obey, and nothing that cannot be written.

        Spaces that must not become ends of lines are `TIED` until `untied`.
        """
        kept = "".join(_plain(each) for each in text)
        if self.unicode:
            return kept
        return "".join(_FALL_BACK.get(each, each if each.isascii() or each == TIED else "?") for each in kept)


def untied(text: str) -> str:
    """The text as it is shown, once it has been broken into lines."""
    return text.replace(TIED, " ")


def _plain(character: str) -> str:
    if character in (TIED, _NARROW):
        return TIED
    if character.isspace():
        return " "
    return "�" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character


def _writes_blocks(encoding: str | None) -> bool:
    try:
        "▁█–µ".encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
