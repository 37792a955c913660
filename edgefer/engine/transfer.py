"""Engines from the cache of one machine into that of another of the same kind."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.engine.archive import ArchivedEngine, EngineArchive
from edgefer.engine.cache import EngineCache, Placed
from edgefer.engine.cache_key import CacheKey
from edgefer.engine.compile import CompiledEngine
from edgefer.engine.driver import CudaDriver, cuda_driver
from edgefer.engine.key_difference import differences, on_this_machine
from edgefer.engine.timing_file import TimingKey
from edgefer.engine.timing_store import TimingStore
from edgefer.errors import EngineIncompatible, EngineMissing
from edgefer.progress import Reporter


class ImportedEngine(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one engine of an archive. One that was not for this machine is `skipped`, and `why` says why."""

    role: str
    digest: str
    placed: Placed | Literal["skipped"]
    why: tuple[str, ...] = ()


def export_engines(bundle: Bundle, cache: EngineCache, role: str | None = None) -> EngineArchive:
    """All engines of the graphs of `bundle`, or of the one with this role, that the cache holds, whatever for.

    Neither a GPU nor TensorRT is asked.

    Raises:
        InputError: no graph has that role.
        EngineMissing: the cache holds no sound engine of a graph.
        EnvironmentMismatch: the cache cannot be read.
    """
    graphs = bundle.manifest.graphs if role is None else (bundle.graph(role),)
    kept = [entry.key for entry in cache.entries() if entry.key is not None]
    engines: list[tuple[ArchivedEngine, CompiledEngine]] = []
    for graph in graphs:
        digest = hashlib.sha256(bundle.onnx(graph)).hexdigest()
        keys = sorted((key for key in kept if key.onnx_sha256 == digest), key=CacheKey.digest)
        found = [(ArchivedEngine(role=graph.role, key=key), engine) for key in keys if (engine := cache.engine(key))]
        if not found:
            raise EngineMissing(
                f"the cache {cache.directory} holds no engine of the graph '{graph.role}' of this bundle",
                hint="`edgefer build-engine BUNDLE` compiles one; `edgefer cache list` shows what is there",
            )
        engines += [each for each in found if each[0].key not in {entry.key for entry, _ in engines}]
    return EngineArchive.of(bundle.manifest.network.name, bundle.digest, engines)


def import_engines(
    archive: EngineArchive,
    cache: EngineCache,
    *,
    any_machine: bool = False,
    driver: CudaDriver | None = None,
    reporter: Reporter | None = None,
) -> tuple[ImportedEngine, ...]:
    """Store the engines of a verified archive that are for this machine; all of them or, without `any_machine`, none
    where a graph is left without one. Their timing caches are kept for the next builds; one that is damaged or of
    another machine is a note.

    Args:
        archive: what `EngineArchive.read` gave.
        cache: where they go. Sound entries with the same plan stay, others with the same key are replaced.
        any_machine: store engines for other machines, too; they are found where the cache is carried to.
        driver: what the CUDA driver says, asked for when not given.
        reporter: hears when another process is waited for.

    Raises:
        EngineIncompatible: no engine of a graph is for this machine; both sides of every difference are named.
        EnvironmentMismatch: the cache cannot be written, or the disk is full.
    """
    driver = cuda_driver() if driver is None else driver
    unfit = {entry.key: _unfit(entry.key, driver) for entry, _ in archive.engines}
    if not any_machine:
        _refuse_unfit(archive, unfit)
    done = []
    for entry, engine in archive.engines:
        why, digest = unfit[entry.key], entry.key.digest()
        placed: Placed | Literal["skipped"] = "skipped"
        if any_machine or not why:
            placed = cache.put(entry.key, engine, reporter)
            refused = _timing(cache, entry.key, engine)
            if refused and reporter is not None:
                reporter.note(refused)
        done.append(ImportedEngine(role=entry.role, digest=digest, placed=placed, why=why))
    cache.prune(keep=[each.digest for each in done])
    return tuple(done)


def _timing(cache: EngineCache, key: CacheKey, engine: CompiledEngine) -> str:
    """Offer the timing cache of an engine to the next builds; an empty answer, or why it was not taken."""
    if not engine.timing:
        return ""
    return TimingStore(cache.timing_folder, TimingKey.of(key)).offer(engine.timing)


def _unfit(key: CacheKey, driver: CudaDriver) -> tuple[str, ...]:
    return tuple(each.text() for each in differences(key, on_this_machine(key, driver)))


def _refuse_unfit(archive: EngineArchive, unfit: dict[CacheKey, tuple[str, ...]]) -> None:
    lines = []
    graphs = {entry.key.onnx_sha256: entry.role for entry, _ in archive.engines}
    for graph, role in graphs.items():
        whys = [why for key, why in unfit.items() if key.onnx_sha256 == graph]
        if all(whys):
            lines += [f"{role}: {line}" for line in min(whys, key=len)]
    if lines:
        raise EngineIncompatible(
            "the engines of the archive are not for this machine: " + "; ".join(lines),
            hint="export them on a machine of this kind, or prepare another machine's cache with --any",
        )
