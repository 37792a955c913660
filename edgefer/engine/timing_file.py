"""One file of TensorRT's timing cache: its bytes with what they are of and their digest, so that nothing else is read.

TensorRT takes a cache of another device or release for an error at best. What comes from a disk or from an archive is
therefore judged before TensorRT sees a byte of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

from edgefer.engine.driver import Gpu
from edgefer.engine.this_platform import this_platform

if TYPE_CHECKING:
    from edgefer.engine.cache_key import CacheKey

MOST_BYTES = 32 << 20
"""A timing cache is at most so large. Larger ones are begun anew."""

NAME = re.compile(r".*-[0-9a-f]{16}\.cache")
"""Of a file, as `TimingKey.name` makes them."""

_MAGIC = b"edgefer timing cache 1\n"
_MOST_HEAD_BYTES = 4096


class TimingKey(msgspec.Struct, frozen=True, kw_only=True):
    """What measured times are of: a release of TensorRT on one kind of GPU. Nothing of a graph: graphs share them."""

    flavour: str
    version: str
    gpu: str | None
    compute_capability: str | None
    multiprocessors: int | None
    platform: str

    @classmethod
    def here(cls, flavour: str, version: str, gpu: Gpu | None) -> TimingKey:
        """That of this machine with this GPU."""
        return cls(
            flavour=flavour,
            version=version,
            gpu=gpu.name if gpu else None,
            compute_capability=gpu.compute_capability if gpu else None,
            multiprocessors=gpu.multiprocessors if gpu else None,
            platform=this_platform(),
        )

    @classmethod
    def of(cls, key: CacheKey) -> TimingKey:
        """That of the build of an engine."""
        return cls(
            flavour=key.flavour,
            version=key.version,
            gpu=key.gpu,
            compute_capability=key.compute_capability,
            multiprocessors=key.multiprocessors,
            platform=key.platform,
        )

    @property
    def name(self) -> str:
        """A name for its file, which tells people what it is of and is its own for every key."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
        told = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{self.flavour}-{self.version}-{self.gpu or 'none'}")
        return f"{told[:80]}-{digest[:16]}.cache"


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: TimingKey
    sha256: str


class Unusable(Exception):
    """Bytes that are no timing cache for what is asked; the message says why."""


def packed(key: TimingKey, blob: bytes) -> bytes:
    """A file with the cache `blob` as TensorRT serialised it."""
    head = _Head(key=key, sha256=hashlib.sha256(blob).hexdigest())
    return _MAGIC + msgspec.json.encode(head, order="deterministic") + b"\n" + blob


def unpacked(key: TimingKey, data: bytes) -> bytes:
    """What TensorRT serialised, of a file that is whole and of this key.

    Raises:
        Unusable: it is neither.
    """
    if len(data) > MOST_BYTES + _MOST_HEAD_BYTES:
        raise Unusable(f"it has {len(data)} bytes, more than the {MOST_BYTES} allowed")
    if not data.startswith(_MAGIC):
        raise Unusable("it is not a timing cache of this edgefer")
    record, _, blob = data[len(_MAGIC) :].partition(b"\n")
    try:
        head = msgspec.json.decode(record[:_MOST_HEAD_BYTES], type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unusable("its head cannot be read") from error
    if head.key != key:
        raise Unusable(f"it is of {_told(head.key)}, and {_told(key)} is here")
    if hashlib.sha256(blob).hexdigest() != head.sha256:
        raise Unusable("it is damaged")
    return blob


def _told(key: TimingKey) -> str:
    gpu = f"GPU {key.gpu or 'none'} ({key.compute_capability or 'none'}, {key.multiprocessors or 0} multiprocessors)"
    return f"{key.flavour} {key.version}, {gpu}, {key.platform}"
