"""Messages in the text format of Protocol Buffers, as far as a Triton configuration needs it.

Written here because a device has no use for the package protobuf otherwise. The format is the one of
https://protobuf.dev/reference/protobuf/textformat-spec.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias


class Word(str):
    """The name of a value of an enumeration: written without quotes."""


Scalar: TypeAlias = "Word | str | bool | int"
Message: TypeAlias = "tuple[tuple[str, Value], ...]"
Value: TypeAlias = "Scalar | list[int] | list[str] | Message"
"""A list is a repeated scalar field, a tuple of pairs a nested message."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def render(message: Message) -> str:
    """The message as text, one field a line; a field occurs as often as it is repeated."""
    return "".join(f"{line}\n" for line in _lines(message))


def quoted(text: str) -> str:
    """A string as the format writes it: what is not printable ASCII becomes the octal codes of its bytes in UTF-8."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if " " <= letter <= "~":
        return letter
    return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))


def _lines(message: Message) -> Iterator[str]:
    for name, value in message:
        if isinstance(value, list):
            yield f"{name}: [{', '.join(map(_scalar, value))}]"
        elif isinstance(value, (str, int)):
            yield f"{name}: {_scalar(value)}"
        else:
            yield f"{name} {{"
            yield from (f"  {line}" for line in _lines(value))
            yield "}"


def _scalar(value: Scalar) -> str:
    if isinstance(value, Word):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
