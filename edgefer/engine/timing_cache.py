"""TensorRT's timing cache around one build, in the child that builds.

A builder times kernels, and remembers the times in a cache that the next build of the same release on the same kind of
GPU begins with. Builds get faster that way, and engines of one machine choose alike. TensorRT-RTX does without: it
times nothing, and its documentation calls the cache without effect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgefer.engine.driver import Gpu
from edgefer.engine.flavours import Flavour
from edgefer.engine.report import TimingReport
from edgefer.engine.timing_file import TimingKey, packed
from edgefer.engine.timing_store import Stored, TimingStore

# What the bindings make of a refusal, where they do not return None or False.
_REFUSALS = (RuntimeError, TypeError, ValueError)


class BuildTiming:
    """Attached to a builder's configuration: gives it the cache before the build and keeps what it learnt after it.

    `stage` is a file that is there while TensorRT works on a cache: where the process dies of one, the parent knows.
    """

    def __init__(self, folder: Path, key: TimingKey, stage: Path) -> None:
        self._store, self._stage = TimingStore(folder, key), stage
        self._before, self._notes = Stored(), list[str]()
        self._attached = False
        self.after = b""

    def attach(self, trt: Any, config: Any) -> None:
        self._before = self._store.read()
        self._notes += self._before.notes
        with self._busy(), self._refusable("could not be given to this TensorRT"):
            cache = self._made(config, self._before.main, "the timing cache")
            for path, blob in self._before.imports.items():
                other = self._made(config, blob, f"the imported timing cache {path.name}")
                if not cache.combine(other, False):
                    self._notes.append(f"the imported timing cache {path.name} is not used: TensorRT did not add it")
            if not config.set_timing_cache(cache, False):
                self._notes.append("the timing cache is not used: TensorRT refused it, and begins with an empty one")
                if not config.set_timing_cache(self._empty(config), False):
                    raise RuntimeError("TensorRT takes no timing cache at all")
            self._attached = True

    def collect(self, trt: Any, config: Any) -> None:
        if not self._attached:
            return
        with self._busy(), self._refusable("could not be taken from this TensorRT"):
            cache = config.get_timing_cache()
            blob = None if cache is None else cache.serialize()
            if blob is None:
                self._notes.append("TensorRT gave no timing cache after the build")
                return

            def combine(theirs: bytes) -> bytes:
                both = config.create_timing_cache(theirs)
                if both is None or not both.combine(cache, False):
                    self._notes.append("another process's timing cache could not be added to: this one replaces it")
                    return bytes(cache.serialize())
                return bytes(both.serialize())

            self.after, notes = self._store.merge(bytes(blob), self._before, combine)
            self._notes += notes

    def packed(self) -> bytes:
        """The cache after the build, as a file that says what it is of; empty where there is none."""
        return packed(self._store.key, self.after) if self.after else b""

    def report(self) -> TimingReport:
        return TimingReport(
            before_bytes=self._before.size, after_bytes=len(self.after), notes=tuple(dict.fromkeys(self._notes))
        )

    def _made(self, config: Any, blob: bytes, what: str) -> Any:
        cache = config.create_timing_cache(blob)
        if cache is None:
            self._notes.append(f"{what} is not used: TensorRT did not take it")
            return self._empty(config)
        return cache

    @staticmethod
    def _empty(config: Any) -> Any:
        cache = config.create_timing_cache(b"")
        if cache is None:
            raise RuntimeError("TensorRT gave no timing cache")
        return cache

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self._stage.write_text(str(self._store.path), encoding="utf-8")
        try:
            yield
        finally:
            self._stage.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _refusable(self, what: str) -> Iterator[None]:
        try:
            yield
        except _REFUSALS as error:
            self._notes.append(f"the timing cache {what}: {error}")


def timing_of(flavour: Flavour, gpu: Gpu | None, folder: str | None, stage: Path) -> BuildTiming | None:
    """The timing cache for a build with this flavour, kept in `folder`; None where none is asked for or of use."""
    useful = hasattr(flavour.module, "ITimingCache") and not flavour.builds_without_gpu
    if folder is None or not useful:
        return None
    return BuildTiming(Path(folder), TimingKey.here(flavour.name, flavour.version, gpu), stage)
