"""`edgefer cache prune`: room in the cache."""

from __future__ import annotations

import argparse

from edgefer.cli.cache_options import add_cache, engine_cache
from edgefer.cli.output import Outcome
from edgefer.size import size

DESCRIPTION = """\
Remove unusable engines and what interrupted writes left from the cache, and then the least recently used engines
until it is no larger than --to. What another process is compiling stays."""
EXAMPLE = "edgefer cache prune --to 1G"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="SIZE", help="such as 500M or 2G (the bound of the cache); 0 removes all")
    add_cache(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    cache = engine_cache(arguments)
    gone = cache.prune(None if arguments.to is None else size(arguments.to))
    left = cache.entries()
    total = sum(entry.bytes for entry in left)
    payload = {"folder": cache.directory, "removed": gone, "left": len(left), "bytes": total}
    text = f"{cache.directory}: {len(gone)} engines removed, {len(left)} left, {total / 1e6:.1f} MB"
    return Outcome(payload=payload, text=text)
