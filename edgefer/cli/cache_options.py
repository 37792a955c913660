"""What the verbs of the cache share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgefer.engine.cache import EngineCache


def add_cache(parser: argparse.ArgumentParser) -> None:
    """`--cache`."""
    parser.add_argument("--cache", metavar="FOLDER", help="folder of compiled plans (in the user's cache)")


def engine_cache(arguments: argparse.Namespace) -> EngineCache:
    """The cache that `--cache` names.

    Raises:
        UsageError: a file has that name.
    """
    from edgefer.engine.cache import EngineCache

    check_cache(arguments.cache)
    return EngineCache(arguments.cache)


def check_cache(folder: str | None) -> None:
    """Raise UsageError where what `--cache` names is a file; what is not there is made when it is written to."""
    from edgefer.outputs import check_folder

    if folder is not None and Path(folder).exists():
        check_folder("--cache", folder, written=False)
