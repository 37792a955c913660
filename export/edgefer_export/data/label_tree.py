"""Listing `DIR/LABEL/NAME.ext`: what every layout on disk is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.images import IMAGE_SUFFIXES

SHOWN = 10
"""How many offending names an error or a note lists."""

Key = tuple[str, str]
"""Label and stem of an image."""


@dataclass
class LabelTree:
    """The images under one folder by (label, stem), and what was passed over there: hidden files, other files."""

    root: Path
    folders: list[str] = field(default_factory=list)
    images: dict[Key, Path] = field(default_factory=dict)
    ignored: list[Path] = field(default_factory=list)


def scan(root: Path) -> LabelTree:
    """List a folder of label folders. Hidden entries and files that are not images go to `ignored`.

    Raises:
        DataError: images lie outside a label folder or deeper than one, two files share a label and a stem, or there
            is no image at all.
    """
    tree = LabelTree(root)
    stray: list[Path] = []
    for entry in _entries(root):
        if is_hidden(entry):
            tree.ignored.append(entry)
        elif entry.is_dir():
            tree.folders.append(entry.name)
            _scan_label(tree, entry, stray)
        elif is_image(entry):
            stray.append(entry)
        else:
            tree.ignored.append(entry)
    if stray:
        raise DataError(
            f"{count(stray, 'image')} in {root} {'lies' if len(stray) == 1 else 'lie'} where no label applies; "
            "images are expected at LABEL/NAME.ext, one level deep.",
            details=listing(path.relative_to(root) for path in stray),
            hint="Move them into a folder named after their label; images without labels go into one folder of any "
            "name.",
        )
    if not tree.images:
        raise DataError(
            f"{root} holds no image in a label folder; DIR/LABEL/NAME.ext is expected.",
            details=listing(path.relative_to(root) for path in tree.ignored),
            hint=f"These suffixes count as images: {', '.join(sorted(IMAGE_SUFFIXES))}.",
        )
    return tree


def _scan_label(tree: LabelTree, folder: Path, stray: list[Path]) -> None:
    doubles: list[str] = []
    for entry in _entries(folder):
        if is_hidden(entry):
            tree.ignored.append(entry)
        elif entry.is_dir():
            inner = [path for path in sorted(entry.rglob("*")) if path.is_file() and is_image(path)]
            stray.extend(inner)
            if not inner:
                tree.ignored.append(entry)
        elif is_image(entry):
            key = (folder.name, entry.stem)
            if key in tree.images:
                doubles.append(f"{folder.name}/{tree.images[key].name} and {entry.name}")
            tree.images[key] = entry
        else:
            tree.ignored.append(entry)
    if doubles:
        raise DataError(
            f"{count(doubles, 'name')} in {folder} {'stands' if len(doubles) == 1 else 'stand'} for two files with "
            "different suffixes; a name must be unique within its label.",
            details=listing(doubles),
            hint="Keep one of each.",
        )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror or error}.") from error


def is_hidden(path: Path) -> bool:
    """Whether an entry is one that file managers and archives leave behind."""
    return path.name.startswith(".") or path.name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def is_image(path: Path) -> bool:
    """Whether the suffix is that of an image format that is read."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def label_order(trees: Sequence[LabelTree], labels: tuple[str, ...] | None) -> tuple[str, ...]:
    """The labels in order: as given, else the sorted names of the label folders.

    Raises:
        DataError: a folder is no given label, or a label has no image.
    """
    found = sorted({name for tree in trees for name in tree.folders})
    order = tuple(found) if labels is None else labels
    if len(set(order)) != len(order):
        raise DataError(f"A label is given twice: {', '.join(order)}.")
    unknown = [name for name in found if name not in order]
    if unknown:
        close = difflib.get_close_matches(unknown[0].lower(), [name.lower() for name in order], 1)
        meant = [name for name in order if close and name.lower() == close[0]]
        raise DataError(
            f"{trees[0].root} has {'a folder' if len(unknown) == 1 else 'folders'} that "
            f"{'is' if len(unknown) == 1 else 'are'} no label: {', '.join(unknown[:SHOWN])}; expected are "
            f"{', '.join(order)}.",
            hint=f"Did you mean {meant[0]}? Labels are case-sensitive." if meant else "Rename or remove the folder.",
        )
    counts = images_per_label(trees[0], order)
    empty = [name for name in order if counts[name] == 0]
    if empty:
        raise DataError(
            f"{trees[0].root} has no image of {', '.join(empty)}; every label needs at least one.",
            hint="Add images, or remove the label where it is not used.",
        )
    return order


def images_per_label(tree: LabelTree, labels: Iterable[str]) -> Mapping[str, int]:
    """Number of images by label."""
    counts = dict.fromkeys(labels, 0)
    for label, _ in tree.images:
        counts[label] = counts.get(label, 0) + 1
    return counts


def ignored_note(trees: Sequence[LabelTree]) -> tuple[str, ...]:
    """One sentence about what was passed over; none where nothing was."""
    return passed_over([path for tree in trees for path in tree.ignored])


def passed_over(ignored: Sequence[Path]) -> tuple[str, ...]:
    """One sentence about files that were not looked at; none where there are none."""
    if not ignored:
        return ()
    shown = ", ".join(str(path) for path in ignored[:SHOWN])
    rest = f" and {len(ignored) - SHOWN} more" if len(ignored) > SHOWN else ""
    return (f"Ignored {count(ignored, 'hidden or non-image entry', 'hidden or non-image entries')}: {shown}{rest}.",)


def listing(names: Iterable[object]) -> str:
    """The first ten names, one a line, and how many more there are."""
    every = [str(name) for name in names]
    lines = [f"  {name}" for name in every[:SHOWN]]
    if len(every) > SHOWN:
        lines.append(f"  … and {len(every) - SHOWN} more")
    return "\n".join(lines)


def count(things: Sequence[object], singular: str, plural: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{len(things)} {singular if len(things) == 1 else plural or singular + 's'}"
