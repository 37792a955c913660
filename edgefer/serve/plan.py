"""A TensorRT engine for a server: a file, or what the cache of this machine holds for the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import EnvironmentMismatch, InputError

CACHED = "cached"


@dataclass(frozen=True)
class Plan:
    """An engine. `plugins` are the operators that plugins compute in it; None where nobody knows, as of a file."""

    content: bytes
    origin: str
    plugins: tuple[str, ...] | None = None


def take_plan(bundle: Bundle, graph: GraphSpec, wanted: str) -> Plan:
    """The engine in the file `wanted`, or for "cached" that of `graph` in the cache; nothing is built.

    Raises:
        InputError: the file cannot be read or is empty.
        EnvironmentMismatch: the cache has no engine for this machine, or there is no TensorRT here that it could be of.
        DeviceError: there is no GPU, so that no engine can be for it.
    """
    if wanted == CACHED:
        return _cached(bundle, graph)
    path = Path(wanted).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the engine {path} cannot be read: {error.strerror or error}",
            hint="name the file of an engine, or `cached` for the one in the cache",
        ) from error
    if not content:
        raise InputError(f"the engine {path} is empty", hint="build it again")
    return Plan(content, str(path))


def _cached(bundle: Bundle, graph: GraphSpec) -> Plan:
    from edgefer.engine.bundle_work import BundleWork
    from edgefer.engine.cache import EngineCache
    from edgefer.engine.driver import cuda_driver
    from edgefer.engine.flavours import detect
    from edgefer.progress import Silent

    driver = cuda_driver()
    # Servers load engines of TensorRT alone, so TensorRT-RTX is no substitute here.
    flavour = detect("tensorrt", driver)
    cache = EngineCache()
    found = BundleWork(bundle, flavour, driver, cache, Silent(), None, None).found(graph)
    if found is None:
        raise EnvironmentMismatch(
            f"{cache.directory} has no engine of this bundle for {flavour.name} {flavour.version} on this GPU",
            hint="`edgefer build-engine BUNDLE` compiles one",
        )
    path, report = found
    return Plan(path.read_bytes(), f"the cache, for {flavour.name} {flavour.version}", report.plugins)
