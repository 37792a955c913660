"""Writing a file so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` through a temporary file in the same folder, flushed to disk before it is renamed.

    Whatever goes wrong (full disk, interrupt), `path` keeps what it had and the temporary file is removed. A device or
    a pipe (`/dev/stdout`) is written to as it is: a rename would put a file in its place.

    Raises:
        OSError: the folder does not exist, is read-only or the disk is full.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            stream.write(data)
        return target
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    # The file asked for gets the permissions of any new file of the user's, which `tempfile` would not give it.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """`write_bytes` of the text in UTF-8."""
    return write_bytes(path, text.encode())
