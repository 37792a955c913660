"""Data sets whose file names tell everything: finding the images and taking their names apart."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.label_tree import count, is_hidden, is_image, listing, passed_over


@dataclass(frozen=True)
class NameScheme:
    """How a data set names its images.

    Attributes:
        like: what looks like one of its images by a part of the name; such a file must follow `exact`.
        exact: the whole stem, with groups.
        expected: the scheme in words, with an example.
    """

    like: re.Pattern[str]
    exact: re.Pattern[str]
    expected: str


def named_images(
    root: Path, source: str, scheme: NameScheme
) -> tuple[list[tuple[Path, re.Match[str]]], tuple[str, ...]]:
    """The images under a folder, at any depth, with their names taken apart, sorted by name; and notes about the rest.

    Raises:
        DataError: no image is named so, one looks like it and is not, or two have the same name.
    """
    found: list[tuple[Path, re.Match[str]]] = []
    malformed: list[Path] = []
    ignored: list[Path] = []
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        hidden = any(is_hidden(Path(part)) for part in path.relative_to(root).parts)
        if hidden or not is_image(path) or scheme.like.search(path.stem) is None:
            ignored.append(path)
            continue
        match = scheme.exact.fullmatch(path.stem)
        if match is None:
            malformed.append(path)
        else:
            found.append((path, match))
    if malformed:
        raise DataError(
            f"{source} has {count(malformed, 'image')} whose name cannot be read; expected {scheme.expected}.",
            details=listing(path.relative_to(root) for path in malformed),
            hint="Give it the name that it was distributed under.",
        )
    if not found:
        raise DataError(
            f"{source} holds no image of this data set; expected {scheme.expected}.",
            details=listing(path.relative_to(root) for path in ignored),
            hint="Name the folder that was unpacked, or look at --layout.",
        )
    times = Counter(path.stem for path, _ in found)
    doubles = [path for path, _ in found if times[path.stem] > 1]
    if doubles:
        raise DataError(
            f"{source} has {count(doubles, 'file')} that share a name with another; each image is there once.",
            details=listing(path.relative_to(root) for path in doubles),
            hint="Keep one copy of each.",
        )
    found.sort(key=lambda item: item[0].stem)
    return found, passed_over(ignored)
