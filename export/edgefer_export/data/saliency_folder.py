"""Layout `saliency`: `DIR/images/NAME.ext` with `DIR/maps/NAME.ext`, pictures and where people looked in them.

The map is a grey image of the same picture, white where most looked; its size may be another. Data sets such as SALICON
are distributed as pictures and maps in folders of their own with the same names; the names of the two folders are this
project's. There are no classes: every sample has the label `picture`.
"""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.file_dataset import Entry, FileDataset
from edgefer_export.data.images import IMAGE_SUFFIXES
from edgefer_export.data.label_tree import count, is_image, listing

FOLDERS = {"visible": "images", "saliency": "maps"}
LABEL = "picture"


def open_saliency(root: Path, source: str) -> FileDataset:
    """A data set of pictures with maps, ordered by name. The suffixes of the two files may differ.

    Raises:
        DataError: a folder is missing or empty, two files have one name, or a picture or map lacks its partner; the
            first ten are listed.
    """
    found = {role: _images(root / folder, root) for role, folder in FOLDERS.items()}
    problems = [
        f"{FOLDERS[here]}/{path.name} has no partner in {FOLDERS[there]}/"
        for here, there in (("visible", "saliency"), ("saliency", "visible"))
        for stem, path in found[here].items()
        if stem not in found[there]
    ]
    if problems:
        raise DataError(
            f"{count(problems, 'image')} in {root} cannot be paired: every picture needs a map of its name, and the "
            "other way round.",
            details=listing(problems),
            hint="Complete or remove them; file names pair up to their suffix.",
        )
    entries = [Entry({role: found[role][stem] for role in FOLDERS}, 0, stem, None) for stem in sorted(found["visible"])]
    return FileDataset(source, (LABEL,), entries)


def _images(folder: Path, root: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(
            f"{root} has no folder {folder.name}/; the layout `saliency` is DIR/images/NAME.ext with "
            "DIR/maps/NAME.ext.",
            hint="Move or link the two folders there under these names.",
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not (is_image(path) and path.is_file()):
            continue
        if path.stem in found:
            raise DataError(f"{folder} has {found[path.stem].name} and {path.name}: one file a name is expected.")
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder} holds no image.", hint=f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}.")
    return found
