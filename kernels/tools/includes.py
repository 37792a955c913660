"""Which files a header is made of: what a library is rebuilt for, and which entries a changed file concerns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def included(name: str, folders: Sequence[Path], *, source: Path | None = None) -> dict[str, Path]:
    """All files that `#include "name"` brings in, by their path in the folder of `folders` where each was found.

    `source` is the file that has the directive: its own folder is looked at first. Names that are in none of the
    folders are CUDA's or the compiler's, and left out.
    """
    found: dict[str, Path] = {}
    _collect(name, folders, source, found)
    return found


def _collect(name: str, folders: Sequence[Path], source: Path | None, found: dict[str, Path]) -> None:
    candidates = [*([source.parent] if source is not None else []), *folders]
    path = next((folder / name for folder in candidates if (folder / name).is_file()), None)
    if path is None:
        return
    path = path.resolve()
    key = next((str(path.relative_to(each.resolve())) for each in folders if path.is_relative_to(each.resolve())), None)
    if key is None or key in found:
        return
    found[key] = path
    for inner in _INCLUDE.findall(path.read_text()):
        _collect(inner, folders, path, found)
