"""What the verbs of the cache share."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from edgefer.errors import UsageError

if TYPE_CHECKING:
    from edgefer.engine.cache import EngineCache

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add_cache(parser: argparse.ArgumentParser) -> None:
    """`--cache`."""
    parser.add_argument("--cache", metavar="FOLDER", help="folder of compiled plans (in the user's cache)")


def engine_cache(arguments: argparse.Namespace) -> EngineCache:
    """The cache that `--cache` names."""
    from edgefer.engine.cache import EngineCache

    return EngineCache(arguments.cache)


def size(text: str) -> int:
    """Bytes from such as "2G", "500MB" or "0".

    Raises:
        UsageError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size.", hint="Such as 500M or 2G: decimal units, a number alone is bytes.")
    return int(float(found[1]) * _UNITS[found[2].lower()])
