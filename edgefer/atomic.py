"""Writing a file so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` through a temporary file in the same folder, flushed to disk before it is renamed.

    Whatever goes wrong (full disk, interrupt), `path` keeps what it had and the temporary file is removed.

    Raises:
        OSError: the folder does not exist, is read-only or the disk is full.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_mode_of_new_files())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """`write_bytes` of the text in UTF-8."""
    return write_bytes(path, text.encode())


def _mode_of_new_files() -> int:
    # mkstemp makes files private; what a user asked for gets the permissions that any new file of theirs would.
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
