"""A manifest as JSON and back."""

from __future__ import annotations

import msgspec

from edgefer.bundle.manifest import SCHEMA_VERSION, Manifest
from edgefer.bundle.upgrade import upgrade
from edgefer.errors import BundleError

MAX_MANIFEST_BYTES = 4 * 2**20

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON in UTF-8; equal manifests give equal bytes.

    Raises:
        BundleError: a field holds what JSON cannot (NaN, infinity) or what its type does not allow.
    """
    try:
        data = msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"
    except (TypeError, ValueError, OverflowError) as error:  # a NumPy integer, a lone surrogate, an integer of 65 bits
        raise BundleError("the manifest has a field that JSON cannot hold", details=str(error)) from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"the manifest would have {len(data)} bytes, more than the {MAX_MANIFEST_BYTES} allowed")
    try:
        same = msgspec.json.decode(data, type=Manifest) == manifest
    except msgspec.ValidationError as error:
        raise BundleError("the manifest has a field of the wrong type", details=str(error)) from error
    if not same:
        raise BundleError("the manifest has a field that JSON cannot hold as it is")
    return data


def decode(data: bytes) -> tuple[Manifest, bool]:
    """The manifest in `data`, and whether it had to be upgraded from an earlier schema.

    Raises:
        BundleError: too long, not JSON, of a version that cannot be read, or not of the schema.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"the manifest has {len(data)} bytes, more than the {MAX_MANIFEST_BYTES} allowed")
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BundleError("the manifest is not JSON", details=str(error), hint="build the bundle again") from error
    if not isinstance(raw, dict):
        raise BundleError(f"the manifest is a JSON {type(raw).__name__}, expected an object")
    version = raw.get("schema")
    raw = upgrade(raw)
    try:
        manifest = msgspec.convert(raw, type=Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"the manifest is not of schema version {SCHEMA_VERSION}", details=str(error), hint="build the bundle again"
        ) from error
    return manifest, version != SCHEMA_VERSION
