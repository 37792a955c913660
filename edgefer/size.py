"""Sizes in bytes as people write them."""

from __future__ import annotations

import math
import re

from edgefer.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = ("", "k", "m", "g", "t")

MOST_MEMORY = (1 << 63) - 1
"""Bytes that a driver's and TensorRT's calls take."""


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
    bytes_ = float(found[1]) * base ** _POWERS.index(found[2].lower())
    if math.isinf(bytes_):
        raise UsageError(f"{text[:20]}... is larger than any size.")
    return int(bytes_)


def memory(text: str, option: str) -> int:
    """`size` of what an option of the command line takes of a memory: at least a byte.

    Raises:
        UsageError: it is no size, or none that a memory has; the message names the option.
    """
    try:
        found = size(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error.message}", hint=error.hint) from error
    if not 1 <= found <= MOST_MEMORY:
        raise UsageError(
            f"{option} is {text}, expected at least one byte and less than 8 EiB",
            hint="Such as 500M or 2G in decimal units, or 512MiB in binary ones; left out, it is as usual.",
        )
    return found
