"""Lists of images that a data set comes with: reading them, and holding what they name to the data set's folder."""

from __future__ import annotations

import ntpath
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.label_tree import count, listing


def read_text(path: Path) -> str:
    """The text of a list, in UTF-8 with or without a byte order mark.

    Raises:
        DataError: it cannot be read or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 (byte {error.start}).", hint="Restore the list from the distribution."
        ) from error


def is_inside(name: str) -> bool:
    """Whether a name in a list can only lead to a file below the folder that it is joined to: not absolute, no drive,
    no step upwards, no NUL. A list is data, and data does not choose which files of a machine are read."""
    if not name or "\0" in name or posixpath.isabs(name) or ntpath.isabs(name) or ntpath.splitdrive(name)[0]:
        return False
    return ".." not in name.replace("\\", "/").split("/")


def refuse_outside(source: Path, names: Iterable[str]) -> None:
    """Raise a DataError where a name leads out of the data set's folder; the first ten are listed."""
    outside = [name for name in names if not is_inside(name)]
    if outside:
        raise DataError(
            f"{source} has {count(outside, 'name')} that {'leads' if len(outside) == 1 else 'lead'} out of the data "
            "set's folder; names are relative to it and go downwards only.",
            details=listing(repr(name) for name in outside),
            hint="Restore the list from the distribution.",
        )


def refuse_missing(source: Path, root: Path, paths: Sequence[Path]) -> None:
    """Raise a DataError where a file that a list names is not there; the first ten are listed."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{source} names {count(missing, 'image')} that {'is' if len(missing) == 1 else 'are'} not in {root} "
            f"(of {len(paths)}).",
            details=listing(path.relative_to(root) for path in missing),
            hint="Unpack the whole distribution, or take the missing images off the list.",
        )


def refuse_malformed(source: Path, problems: Sequence[str], expected: str) -> None:
    """Raise a DataError where lines are not as expected; `problems` says which, with their numbers."""
    if problems:
        raise DataError(
            f"{source} has {count(problems, 'line')} that cannot be read; expected {expected}.",
            details=listing(problems),
            hint="Restore the list from the distribution.",
        )


def refuse_doubles(source: Path, names: Sequence[str]) -> None:
    """Raise a DataError where a list names an image twice; the first ten are listed."""
    doubles = [name for name, times in Counter(names).items() if times > 1]
    if doubles:
        raise DataError(
            f"{source} names {count(doubles, 'image')} more than once; each belongs to one line.",
            details=listing(doubles),
            hint="Keep one line of each.",
        )


def first_folder(root: Path, candidates: Sequence[str]) -> Path | None:
    """The first of these subfolders that exists."""
    return next((root / name for name in candidates if (root / name).is_dir()), None)


def first_file(root: Path, candidates: Sequence[str]) -> Path | None:
    """The first of these files that exists."""
    return next((root / name for name in candidates if (root / name).is_file()), None)
