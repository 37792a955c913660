"""Two keys of engines held against each other, field by field: what an engine was built for, and what is here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from edgefer.engine.cache_key import CACHE_SCHEMA, CacheKey
from edgefer.engine.driver import CudaDriver
from edgefer.engine.flavours import FLAVOURS, load
from edgefer.engine.plugin_identity import PluginIdentity, plugin_identity
from edgefer.engine.portable import RULES_VERSION
from edgefer.engine.this_platform import this_platform
from edgefer.errors import EnvironmentMismatch

_TITLES = {
    "onnx_sha256": "graph (SHA-256)",
    "flavour": "flavour of TensorRT",
    "version": "version of TensorRT",
    "batches": "batch sizes",
    "workspace_bytes": "workspace in bytes",
    "policy": "policy for plugins",
    "plugins": "plugins",
    "judged_by": "golden answers (SHA-256)",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "multiprocessors": "multiprocessors",
    "driver": "CUDA of the driver",
    "platform": "platform",
    "rules": "edgefer's rules for graphs",
    "schema": "schema of the cache",
}


@dataclass(frozen=True)
class Difference:
    """One field in which two keys differ: `there` is what the engine was built with, `here` what is asked for."""

    field: str
    there: str
    here: str

    def text(self) -> str:
        return f"{self.field}: built for {self.there}, here {self.here}"


def differences(there: CacheKey, here: CacheKey) -> tuple[Difference, ...]:
    """The fields in which the key of an engine differs from the one asked for, in the order of the key."""
    found: list[Difference] = []
    for name, title in _TITLES.items():
        if name == "plugins":
            found += _plugins(there.plugins, here.plugins)
        elif getattr(there, name) != getattr(here, name):
            found.append(Difference(title, _shown(getattr(there, name)), _shown(getattr(here, name))))
    return tuple(found)


def nearest(keys: Iterable[CacheKey], wanted: CacheKey) -> CacheKey | None:
    """The key with the fewest differences from the one wanted; None of none."""
    return min(keys, key=lambda key: len(differences(key, wanted)), default=None)


def describe(key: CacheKey) -> str:
    """All fields of a key, one a line."""
    record: dict[str, Any] = msgspec.to_builtins(key)
    record["plugins"] = ", ".join(f"{name} {_shown(value)}" for name, value in record["plugins"].items() if value)
    return "\n".join(f"{title}: {_shown(record[name])}" for name, title in _TITLES.items())


def on_this_machine(key: CacheKey, driver: CudaDriver) -> CacheKey:
    """What the key would have to be for its engine to be of use here: the fields of the machine from this machine,
    the others as they are. A TensorRT that is not installed here has the version "not installed"."""
    gpu = driver.gpus[0] if driver.gpus else None
    return msgspec.structs.replace(
        key,
        version=_version(key.flavour),
        plugins=PluginIdentity() if key.policy == "inline" else plugin_identity(),
        gpu=gpu.name if gpu else None,
        compute_capability=gpu.compute_capability if gpu else None,
        multiprocessors=gpu.multiprocessors if gpu else None,
        driver=driver.version if gpu else None,
        platform=this_platform(),
        rules=RULES_VERSION,
        schema=CACHE_SCHEMA,
    )


def _version(flavour: str) -> str:
    # The name may come from a file of others: only modules that are known are imported.
    for name in FLAVOURS:
        if name == flavour:
            with contextlib.suppress(EnvironmentMismatch):
                return load(name).version
    return "not installed"


def _plugins(there: PluginIdentity, here: PluginIdentity) -> list[Difference]:
    return [
        Difference(f"plugins, {name}", _shown(getattr(there, name)), _shown(getattr(here, name)))
        for name in PluginIdentity.__struct_fields__
        if getattr(there, name) != getattr(here, name)
    ]


def _shown(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
