"""The error for an engine that is not in the cache where none may be built."""

from __future__ import annotations

from edgefer.engine.cache import EngineCache
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.key_difference import describe, differences, nearest
from edgefer.errors import EngineMissing


def missing(cache: EngineCache, role: str, wanted: CacheKey) -> EngineMissing:
    """What was looked for, field by field, and what the nearest engine of the same graph was built for instead.

    Raises:
        EnvironmentMismatch: the cache cannot be read.
    """
    same_graph = [entry.key for entry in cache.entries() if entry.key and entry.key.onnx_sha256 == wanted.onnx_sha256]
    near = nearest(same_graph, wanted)
    found = "and no other engine of this graph"
    if near is not None:
        found = "; ".join(each.text() for each in differences(near, wanted))
        found = f"the nearest one of this graph differs in {found}"
    return EngineMissing(
        f"the cache {cache.directory} holds no engine of the graph '{role}' for this machine, {found}",
        hint="`edgefer cache import` brings one; without --require-cached it is built",
        details=describe(wanted),
    )
