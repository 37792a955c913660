"""The newer form of AffectNet: `images/ID.jpg` with the expression in `annotations/ID_exp.npy`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from edgefer.errors import DataError
from edgefer_export.data.label_tree import count, is_hidden, is_image, listing
from edgefer_export.data.labelled import Labelled, unknown_expression

PARTS = {"train": "train_set", "test": "val_set"}
_ENDING = "_exp.npy"
# An annotation holds one number; whatever is much larger is something else and is not read.
_LARGEST = 4096


def arrays_folder(root: Path) -> bool:
    """Whether the folder, or one of its two parts, is of this form."""
    return any(_is_part(folder) for folder in (root, *(root / name for name in PARTS.values())))


def _is_part(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "annotations").is_dir()


def read_arrays(root: Path, source: str, part: str, own: tuple[str, ...]) -> list[Labelled]:
    """The annotated images of a part: `train`, `test` or `all`. A folder that is itself a part has `all` only.

    Raises:
        DataError: the part is not there, an image has no annotation or the other way round, or an annotation is
            damaged or has an unknown number.
    """
    if _is_part(root):
        if part != "all":
            raise DataError(
                f"{source} holds images/ and annotations/ itself, so it is one part and has no part={part}.",
                hint=f"Leave part= out, or name the folder that holds {' and '.join(PARTS.values())}.",
            )
        return _read_part(root, root, source, own)
    wanted = [PARTS[each] for each in PARTS if part in ("all", each)]
    there = [name for name in wanted if _is_part(root / name)]
    if not there:
        raise DataError(f"{source} has no {wanted[0]}/ with images/ and annotations/.", hint="Unpack that part.")
    return [each for name in there for each in _read_part(root, root / name, source, own)]


def _read_part(root: Path, folder: Path, source: str, own: tuple[str, ...]) -> list[Labelled]:
    images = {path.stem: path for path in sorted((folder / "images").iterdir()) if is_image(path)}
    annotations = {
        path.name.removesuffix(_ENDING): path
        for path in sorted((folder / "annotations").iterdir())
        if path.name.endswith(_ENDING) and not is_hidden(path)
    }
    alone = [f"{images[name].relative_to(root)} has no {name}{_ENDING}" for name in images if name not in annotations]
    alone += [f"{annotations[name].relative_to(root)} has no image" for name in annotations if name not in images]
    if alone:
        raise DataError(
            f"{source} has {count(alone, 'image or annotation', 'images or annotations')} without the other.",
            details=listing(alone),
            hint="Unpack both archives whole.",
        )
    found, damaged, unknown = [], [], []
    for name, path in annotations.items():
        number = _number(path)
        if isinstance(number, str):
            damaged.append(f"{path.relative_to(root)}: {number}")
        elif not 0 <= number < len(own):
            unknown.append(f"{path.relative_to(root)}: {number}")
        else:
            identity = images[name].relative_to(root).with_suffix("").as_posix()
            found.append(Labelled({"visible": images[name]}, own[number], identity))
    if damaged:
        raise DataError(
            f"{source} has {count(damaged, 'annotation')} that cannot be read; each is a NumPy array of one number.",
            details=listing(damaged),
            hint="Restore them from the distribution.",
        )
    if unknown:
        raise unknown_expression(source, unknown, f"0 to 7 for {', '.join(own)}")
    return found


def _number(path: Path) -> int | str:
    """The number in an annotation, or what is wrong with it. Nothing is ever unpickled."""
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            return f"{size} bytes"
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {str(error)[:80]}"
    if not isinstance(value, np.ndarray) or value.size != 1:
        return f"not one number, but {getattr(value, 'shape', 'an archive')}"
    text = str(value.reshape(())[()] if value.dtype.kind != "S" else value.item().decode("ascii", "replace"))
    try:
        number = float(text)
    except ValueError:
        return f"{text[:40]!r} is no number"
    return int(number) if number.is_integer() else f"{text[:40]} is no whole number"
