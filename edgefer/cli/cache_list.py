"""`edgefer cache list`: the engines that this machine keeps."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgefer.cli.cache_options import add_cache, engine_cache
from edgefer.cli.output import Outcome, table

if TYPE_CHECKING:
    from edgefer.engine.cache_entry import CachedEngine

DESCRIPTION = """\
List the compiled engines in the cache, the most recently used first; each is read whole and checked against its
digests. What is damaged, or was made by an edgefer whose keys differ, is unusable and built again when it is needed.
With --json: everything that each depends on."""
EXAMPLE = "edgefer cache list"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cache(parser)


def run(arguments: argparse.Namespace) -> Outcome:
    cache = engine_cache(arguments)
    entries = cache.entries()
    total = sum(entry.bytes for entry in entries)
    payload = {"folder": cache.directory, "bytes": total, "max_bytes": cache.max_bytes, "engines": entries}
    lines = [f"{cache.directory}: {len(entries)} engines, {total / 1e6:.1f} of {cache.max_bytes / 1e6:.0f} MB"]
    if entries:
        lines += ["", table([_HEAD, *map(_row, entries)], right=(7,))]
    return Outcome(payload=payload, text="\n".join(lines))


_HEAD = ["engine", "graph", "TensorRT", "GPU", "driver", "plugins", "used", "MB", ""]


def _row(entry: CachedEngine) -> list[str]:
    # A clock that was wrong when the entry was used gives any date there is, and may give one that there is not.
    try:
        used = datetime.fromtimestamp(entry.used, timezone.utc).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        used = "-"
    cells = ["-"] * 5
    if entry.key is not None:
        key = entry.key
        release = key.version if key.flavour == "tensorrt" else f"{key.version} (RTX)"
        cells = [key.onnx_sha256[:12], release, key.gpu or "none", key.driver or "none", key.policy]
    return [entry.digest[:12], *cells, used, f"{entry.bytes / 1e6:.1f}", "" if entry.sound else "unusable"]
