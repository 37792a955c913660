"""Forms of graphs in the user's cache folder, so that opening a bundle again neither derives nor checks one.

An entry is one file: a line of JSON, then the graph. It appears whole by one rename and is checked against its digest
whenever it is read; a damaged one is made again. A lock file per entry keeps two processes from making the same form;
reading needs no lock and no write access. A folder that cannot be written costs the time of deriving at each opening,
and a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from filelock import FileLock

from edgefer import atomic
from edgefer.cache_folder import VARIABLE, cache_folder
from edgefer.errors import EdgeferWarning
from edgefer.runtime.cpu_form.derive import RULES_VERSION, Variant
from edgefer.runtime.fallback import outside

CACHE_SCHEMA = 1
DEFAULT_MAX_BYTES = 1 << 30
SUFFIX = ".form"


class FormKey(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a form and the verdict on it depend on, but the release of onnx that wrote it.

    `graph` and `golden` are digests: of the deployed graph, and of the golden inputs with answers and tolerance.
    """

    graph: str
    golden: str
    variant: Variant
    onnxruntime: str
    architecture: str
    instruction: str | None
    rules: int = RULES_VERSION
    schema: int = CACHE_SCHEMA

    def digest(self) -> str:
        """SHA-256 (hex) over the canonical JSON of all fields."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of deriving a form and checking it: whether it may run, and what was found, in a sentence.

    `onnx` is the release of the package that wrote it.
    """

    passed: bool
    found: str
    onnx: str
    integer_layers: int = 0
    quantised_layers: int = 0


class Entry(NamedTuple):
    """A form, empty where the verdict is not passed, and the verdict on it."""

    verdict: Verdict
    graph: bytes


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    key: FormKey
    verdict: Verdict
    sha256: str


class FormCache:
    """Forms under `directory`, or under `cache_folder()`.

    When storing makes the entries larger than `max_bytes`, the least recently used ones go; the one just stored stays.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.directory = (Path(directory) if directory is not None else cache_folder()) / "cpu-forms"
        self.max_bytes = max_bytes

    def read(self, key: FormKey, onnx: str | None) -> Entry | None:
        """A sound entry; None where there is none, or only a damaged one, or one by another release of `onnx`.

        Without the package (None) an entry by any release will do.
        """
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        line, _, graph = data.partition(b"\n")
        try:
            header = msgspec.json.decode(line, type=_Header)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if header.key != key or header.sha256 != hashlib.sha256(graph).hexdigest():
            return None
        if onnx not in (None, header.verdict.onnx):
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read serves hits without noting their time
            os.utime(path)
        return Entry(header.verdict, graph)

    def fetch(self, key: FormKey, onnx: str, make: Callable[[], Entry]) -> Entry:
        """The entry, made with `make` when no sound one is there.

        Raises:
            EdgeferError: whatever `make` raises.
        """
        with self._locked(key):
            entry = self.read(key, onnx)  # made by another process while this one waited
            if entry is None:
                entry = make()
                self._store(key, entry)
        return entry

    def _path(self, key: FormKey) -> Path:
        return self.directory / f"{key.digest()}{SUFFIX}"

    def _store(self, key: FormKey, entry: Entry) -> None:
        header = _Header(key=key, verdict=entry.verdict, sha256=hashlib.sha256(entry.graph).hexdigest())
        try:
            atomic.write_bytes(self._path(key), msgspec.json.encode(header) + b"\n" + entry.graph)
            self._evict(self._path(key))
        except OSError as error:
            self._warn(error)

    def _evict(self, keep: Path) -> None:
        found = []
        for path in self.directory.glob(f"*{SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in found) - self.max_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                return
            if path != keep:
                # Whoever reads it at this moment has it whole: an open file outlives its name.
                path.unlink(missing_ok=True)
                excess -= size

    @contextlib.contextmanager
    def _locked(self, key: FormKey) -> Iterator[None]:
        lock = FileLock(self.directory / ".locks" / f"{key.digest()}.lock")
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except OSError as error:
            self._warn(error)
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _warn(self, error: OSError) -> None:
        # Python shows a warning once for each place and text.
        message = (
            f"the form of a graph for this CPU cannot be kept in {self.directory}, and is derived again whenever the "
            f"bundle is opened ({error.strerror or error}); set {VARIABLE} to a folder that can be written"
        )
        warnings.warn(EdgeferWarning(message), stacklevel=outside())
