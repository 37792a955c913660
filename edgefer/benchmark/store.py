"""Results as files: one JSON document each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from edgefer import atomic
from edgefer.benchmark.result import SCHEMA_VERSION, Result
from edgefer.errors import InputError, UsageError

MAX_BYTES = 1 << 28
"""A benchmark of an hour is some ten megabytes."""

_MAKES = "`edgefer benchmark BUNDLE -o FILE.json` makes one"


def save(result: Result, path: str | os.PathLike[str]) -> Path:
    """Write a result to a file, whole or not at all.

    Raises:
        UsageError: the file cannot be written: its folder is missing or read-only, or the disk is full.
    """
    target = Path(path)
    try:
        return atomic.write_bytes(target, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    except OSError as error:
        raise UsageError(
            f"the result cannot be written to {target}: {error.strerror or error}",
            hint="name a file in a folder that exists and can be written to",
        ) from error


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result that `save` wrote.

    Raises:
        InputError: there is no such file, it cannot be read, or it holds something else than a result of this version.
    """
    source = Path(path)
    data = _read(source)
    if not data.strip():
        raise InputError(f"{source} is empty", hint=f"the benchmark was interrupted, or the copy was; {_MAKES}")
    known = _recognise(data[:512])
    if known is not None:
        raise InputError(f"{source} is not a result but {known[0]}", hint=known[1])
    try:
        document: Any = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        # A number that is cut is one that is wrong, at the end of the file.
        if "truncated" in str(error) or f"(byte {len(data)})" in str(error):
            raise InputError(f"{source} ends in the middle", hint="copy it again") from None
        raise InputError(f"{source} is not JSON", details=str(error), hint=f"name a result; {_MAKES}") from None
    if not isinstance(document, dict) or "schema" not in document or "conditions" not in document:
        raise InputError(f"{source} is JSON but no result of a benchmark", hint=_MAKES)
    if document["schema"] != SCHEMA_VERSION:
        raise InputError(
            f"{source} is a result of schema {document['schema']!r}, this edgefer reads {SCHEMA_VERSION}",
            hint=f"it was written by edgefer {document.get('edgefer', 'of an unknown version')}; use that one, or "
            "measure again",
        )
    try:
        return msgspec.convert(document, Result)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{source} is not a whole result", details=str(error), hint="it was changed after it was written"
        ) from None


def _read(source: Path) -> bytes:
    try:
        if source.exists() and not source.is_file() and not source.is_dir():  # a named pipe would wait for a writer
            raise InputError(f"{source} is not a regular file", hint="name the file itself")
        with source.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"there is no file {source}", hint="check the path") from None
    except IsADirectoryError:
        raise InputError(f"{source} is a folder, a result is one file", hint="name the .json file in it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be read", details=str(error), hint="check its owner and the disk") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{source} has more than the {MAX_BYTES >> 20} MiB that a result may have", hint=_MAKES)
    return data


def _recognise(head: bytes) -> tuple[str, str] | None:
    """What a file that is no JSON document begins like, with a hint."""
    if head.startswith(b"PK"):
        return "a zip file, such as a bundle", f"a result is made from a bundle: {_MAKES}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a web page", "name the .json file that was written beside the page, or fetch the file again"
    return None
