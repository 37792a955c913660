"""Refusing an output that could not be written, before the first step and not after the last."""

from __future__ import annotations

import os
from pathlib import Path

from edgefer.errors import UsageError


def check_output(flag: str, path: str | os.PathLike[str]) -> None:
    """Refuse a file that cannot be written; `flag` is what the user called it.

    Raises:
        UsageError: it is a folder, or its folder does not exist or cannot be written to.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{flag} names the folder {target}; a file is expected.")
    if not target.parent.is_dir():
        raise UsageError(
            f"{flag} {target} is in a folder that does not exist.", hint=f"Create it: mkdir -p {target.parent}"
        )
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{flag} {target} is in a folder that cannot be written to.", hint="Name another folder.")
