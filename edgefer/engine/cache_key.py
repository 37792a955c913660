"""What settles an engine, as the key that it is found again by."""

from __future__ import annotations

import hashlib

import msgspec

from edgefer.bundle.manifest import PluginPolicy
from edgefer.engine.compile import CompileRequest
from edgefer.engine.driver import CudaDriver
from edgefer.engine.plugin_identity import PluginIdentity, plugin_identity
from edgefer.engine.portable import RULES_VERSION
from edgefer.engine.this_platform import this_platform

CACHE_SCHEMA = 3


class CacheKey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an engine depends on.

    `onnx_sha256` is of the bundle's graph and `rules` the version of what is done to it before parsing: together they
    settle what the parser sees, and a hit needs no ONNX package to find out. GPU fields are None without a GPU.
    `plugins` is empty where none may take part. `judged_by` is the digest of the golden answers that `auto` decides
    by.
    """

    onnx_sha256: str
    flavour: str
    version: str
    batches: tuple[int, ...]
    workspace_bytes: int
    policy: PluginPolicy
    plugins: PluginIdentity
    judged_by: str
    gpu: str | None
    compute_capability: str | None
    multiprocessors: int | None
    driver: str | None
    platform: str
    rules: int = RULES_VERSION
    schema: int = CACHE_SCHEMA

    def digest(self) -> str:
        """SHA-256 (hex) over the canonical JSON of all fields."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def cache_key(
    onnx: bytes,
    request: CompileRequest,
    version: str,
    driver: CudaDriver,
    *,
    policy: PluginPolicy | None = None,
    judged_by: str = "",
) -> CacheKey:
    """The key of `onnx` compiled as `request` says by release `version` of its flavour on this machine.

    `policy` is `auto` where the way of the request is only what came of it, by what `judged_by` is the digest of.
    """
    asked: PluginPolicy = request.way if policy is None else policy
    gpu = driver.gpus[0] if driver.gpus else None
    return CacheKey(
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
        flavour=request.flavour,
        version=version,
        batches=request.batches,
        workspace_bytes=request.workspace_bytes,
        policy=asked,
        plugins=PluginIdentity() if asked == "inline" else plugin_identity(),
        judged_by=judged_by,
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        multiprocessors=gpu.multiprocessors if gpu else None,
        driver=driver.version if gpu else None,
        platform=this_platform(),
    )
