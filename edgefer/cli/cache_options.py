"""What the verbs of the cache share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgefer.engine.cache import EngineCache


def add_cache(parser: argparse.ArgumentParser) -> None:
    """`--cache`."""
    parser.add_argument("--cache", metavar="FOLDER", help="folder of compiled plans (in the user's cache)")


def engine_cache(arguments: argparse.Namespace) -> EngineCache:
    """The cache that `--cache` names."""
    from edgefer.engine.cache import EngineCache

    return EngineCache(arguments.cache)
