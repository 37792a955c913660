"""Text that no encoder takes is made one that every encoder takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from edgefer.readable import encode_json, readable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("é 你.edgefer", "é 你.edgefer"),
        (b"\xc3\xa9.edgefer".decode("ascii", "surrogateescape"), "é.edgefer"),
        (b"bad\xff.edgefer".decode("utf-8", "surrogateescape"), "bad\ufffd.edgefer"),
        ("\ud800", "?"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert readable(text) == expected


@dataclass(frozen=True)
class Answer:
    path: Path
    names: dict[str, tuple[str, ...]]
    share: float


def test_json_holds_every_text_at_any_depth() -> None:
    bad = b"\xff".decode("utf-8", "surrogateescape")
    data = encode_json(Answer(Path(bad), {bad: (bad, "a")}, 0.5), enc_hook=str)
    assert msgspec.json.decode(data) == {"path": "\ufffd", "names": {"\ufffd": ["\ufffd", "a"]}, "share": 0.5}


def test_json_without_such_text_is_as_ever() -> None:
    value = {"a": [1, None, "é"]}
    assert encode_json(value) == msgspec.json.encode(value)
