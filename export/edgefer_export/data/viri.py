"""Layout `viri`: the VIRI set of visible and infrared pictures (five expressions).

The folder structure of VIRI is not published. The one assumed here is `DIR/VIS/LABEL/NAME.ext` with
`DIR/IR/LABEL/NAME.ext`, in any letter case, pairs having equal names; a third folder `MSX` (the camera's edge
overlay) is left alone. Whose copy looks different renames its folders, or uses the layout `pairs`.

The order of the classes is that of the authors' script: Angry, Happy, Neutral, Sad, Surprise. The set does not say
who is who, so subjects are unknown unless the names tell.
"""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.file_dataset import FileDataset, SubjectRule
from edgefer_export.data.label_tree import LabelTree, is_hidden, scan
from edgefer_export.data.pairs import join

LABELS = ("angry", "happy", "neutral", "sad", "surprise")
"""The classes of VIRI in the order of the logits, spelled as the networks and the synthetic pairs spell them."""

FOLDERS = {"visible": "vis", "infrared": "ir"}


def open_viri(
    root: Path, source: str, labels: tuple[str, ...] | None, *, subjects: SubjectRule = "none"
) -> FileDataset:
    """A data set in the layout of VIRI. `labels` names the classes otherwise; letter case of folders is ignored.

    Raises:
        DataError: a folder is missing, an image lacks its partner, or a class is unknown or empty.
    """
    order = LABELS if labels is None else labels
    spelling = {name.lower(): name for name in order}
    folders = {role: modality_folder(root, role) for role in FOLDERS}
    trees = []
    for role, folder in folders.items():
        if folder is None:
            raise DataError(
                f"{root} has no folder {FOLDERS[role].upper()}/; the layout `viri` is taken to be "
                "DIR/VIS/LABEL/NAME.ext with DIR/IR/LABEL/NAME.ext.",
                hint="Rename the folders, or arrange them as visible/ and infrared/ and use --layout pairs.",
            )
        trees.append(_respell(scan(folder), spelling))
    others = tuple(sorted(entry for entry in root.iterdir() if is_hidden(entry) or entry not in folders.values()))
    return join(trees[0], trees[1], source, order, subjects=subjects, others=others)


def modality_folder(root: Path, role: str) -> Path | None:
    """The folder of a role, whatever its letter case; None where there is none."""
    return next((entry for entry in sorted(root.iterdir()) if entry.is_dir() and _is(entry, FOLDERS[role])), None)


def _is(entry: Path, name: str) -> bool:
    return entry.name.lower() == name


def _respell(tree: LabelTree, spelling: dict[str, str]) -> LabelTree:
    """The tree with its labels spelled as in the list of classes; unknown ones stay for `label_order` to refuse."""

    def respelled(name: str) -> str:
        return spelling.get(name.lower(), name)

    images = {(respelled(label), stem): path for (label, stem), path in tree.images.items()}
    if len(images) != len(tree.images):
        raise DataError(
            f"{tree.root} has two folders whose names differ in letter case only and share file names.",
            hint="Merge them.",
        )
    return LabelTree(tree.root, [respelled(name) for name in tree.folders], images, tree.ignored)
