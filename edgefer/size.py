"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

from edgefer.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = ("", "k", "m", "g", "t")


def size(text: str) -> int:
    """Bytes from such as "2G" or "500MB" (decimal), "512MiB" (binary) or "0".

    Raises:
        UsageError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise UsageError(
            f"{text!r} is no size.",
            hint="Such as 500M or 2G in decimal units, or 512MiB in binary ones; a number alone is bytes.",
        )
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWERS.index(found[2].lower()))
