"""Text that can be written anywhere: file names need not be valid Unicode, JSON and UTF-8 must be.

Python holds bytes of a file name that its locale cannot decode as lone surrogates (PEP 383), which no encoder takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def readable(text: str) -> str:
    """`text` without lone surrogates: as UTF-8 where its bytes are that, else with the replacement character."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that never were bytes
        data = text.encode("utf-8", "replace")
    return data.decode("utf-8", "replace")


def encode_json(value: Any, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """`value` as JSON, every text in it made readable."""
    try:
        return msgspec.json.encode(value, enc_hook=enc_hook)
    except UnicodeEncodeError:
        return msgspec.json.encode(_all_readable(msgspec.to_builtins(value, enc_hook=enc_hook)))


def _all_readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_all_readable(key): _all_readable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_all_readable(each) for each in value]
    return value
