"""What PTX says of itself: the version of its language, the virtual GPU it is for, its entries and their parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"^\.version\s+(\d+)\.(\d+)\s*$", re.MULTILINE)
_TARGET = re.compile(r"^\.target\s+sm_(\d+)", re.MULTILINE)
# An entry takes one structure by value, which PTX writes as an array of bytes.
_ENTRY = re.compile(r"\.entry\s+(\w+)\s*\(\s*\.param\s+\.align\s+\d+\s+\.b8\s+\w+\[(\d+)\]\s*\)")


@dataclass(frozen=True)
class Ptx:
    """`version` such as (8, 5); `target` is 80 for compute_80; `entries` gives the bytes of each one's parameters."""

    version: tuple[int, int]
    target: int
    entries: dict[str, int]


def read(text: str) -> Ptx:
    """Reads PTX.

    Raises:
        ValueError: it states no version or no target.
    """
    version, target = _VERSION.search(text), _TARGET.search(text)
    if version is None or target is None:
        raise ValueError("no PTX: it states no .version or no .target")
    entries = {name: int(size) for name, size in _ENTRY.findall(text)}
    return Ptx((int(version[1]), int(version[2])), int(target[1]), dict(sorted(entries.items())))
