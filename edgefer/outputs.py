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
    if target.exists() and not target.is_file():
        # A device or a pipe, which is written to as it is.
        if not os.access(target, os.W_OK):
            raise UsageError(f"{flag} {target} cannot be written to.", hint="Name a file.")
        return
    if not target.parent.is_dir():
        raise UsageError(
            f"{flag} {target} is in a folder that does not exist.", hint=f"Create it: mkdir -p {target.parent}"
        )
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{flag} {target} is in a folder that cannot be written to.", hint="Name another folder.")


def check_folder(flag: str, path: str | os.PathLike[str], *, written: bool = True) -> None:
    """Refuse a folder that neither is there nor could be made, or that cannot be written to where it will be.

    Raises:
        UsageError: it is a file or below one, or the folder that it would be made in cannot be written to.
    """
    target = Path(path)
    existing = next(each for each in (target.absolute(), *target.absolute().parents) if each.exists())
    if not existing.is_dir():
        found = "is a file" if existing == target.absolute() else f"is below {existing}, which is a file"
        raise UsageError(f"{flag} {target} {found}; a folder is expected.")
    missing = existing != target.absolute()
    if (missing or written) and not os.access(existing, os.W_OK):
        raise UsageError(
            f"{flag} {target} cannot be {'made' if missing else 'written to'}: {existing} is not writable.",
            hint="Name another folder.",
        )
