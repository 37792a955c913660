"""Layout `nvie`: the Natural Visible and Infrared facial Expression database (Wang et al., IEEE TMM 2010).

How the files are arranged in the distribution is not published, and no public loader is known. The layout here is
assumed: `DIR/VIS/LABEL/SUBJECT_REST.ext` with `DIR/IR/LABEL/SUBJECT_REST.ext`, in any letter case, pairs having equal
names; `visible`, `infrared` and `thermal` serve as well. Whose copy looks different copies the frames to be used, apex
frames as a rule, into these folders.

Six expressions were recorded; disgust, fear and happiness are what is evaluated as a rule, and the default here.
"""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data.expressions import meaning
from edgefer_export.data.file_dataset import FileDataset, SubjectRule, subject_of
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.label_tree import LabelTree, ignored_note, is_hidden, scan
from edgefer_export.data.labelled import Labelled, assemble, unknown_expression
from edgefer_export.data.pairs import refuse_unpaired

FOLDERS = {"visible": ("vis", "visible"), "infrared": ("ir", "infrared", "thermal")}


def open_nvie(
    root: Path,
    source: str,
    labels: tuple[str, ...] | None,
    *,
    expressions: str = "3",
    subjects: SubjectRule = "prefix",
) -> FileDataset:
    """Pairs in the layout assumed for NVIE. `expressions` is `3` (disgust, fear, happy) or `6` (all recorded ones).

    Raises:
        DataError: a folder is missing, an image lacks its partner, a folder is no expression, a name does not tell the
            subject where it should, or a class has no image.
    """
    folders = {role: _folder(root, role, source) for role in FOLDERS}
    trees = {role: scan(folder) for role, folder in folders.items()}
    visible, infrared = trees["visible"], trees["infrared"]
    refuse_unpaired(visible, infrared)
    every, three = LABEL_SETS["nvie-6"], LABEL_SETS["nvie"]
    spelling = {meaning(label): label for label in every}
    unknown = sorted({name for tree in trees.values() for name in tree.folders if meaning(name) not in spelling})
    if unknown:
        raise unknown_expression(source, [f"folder {name}" for name in unknown], ", ".join(every))
    own = three if expressions == "3" else every
    found = [
        Labelled(
            {"visible": path, "infrared": infrared.images[label, stem]},
            spelling[meaning(label)],
            f"{spelling[meaning(label)]}/{stem}",
            subject_of(stem, subjects, path),
        )
        for (label, stem), path in sorted(visible.images.items())
    ]
    taken = [each for each in found if each.expression in own]
    others = sorted(entry for entry in root.iterdir() if is_hidden(entry) or entry not in folders.values())
    notes = ignored_note([LabelTree(root, ignored=others), visible, infrared])
    if len(taken) < len(found):
        notes = (*notes, f"Passed over {len(found) - len(taken)} pairs of other expressions than {', '.join(own)}.")
    return assemble(source, own, taken, labels, notes)


def _folder(root: Path, role: str, source: str) -> Path:
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and entry.name.lower() in FOLDERS[role]:
            return entry
    raise DataError(
        f"{source} has no folder {FOLDERS[role][0].upper()}/; the layout `nvie` is taken to be "
        "DIR/VIS/LABEL/SUBJECT_REST.ext with DIR/IR/LABEL/SUBJECT_REST.ext.",
        hint="Arrange the frames so; docs/datasets.md shows it.",
    )
