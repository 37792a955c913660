"""From what the user wrote for DATA to a data set: a folder in one of the layouts, or synthetic pairs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from edgefer.errors import DataError, UsageError
from edgefer.progress import Reporter
from edgefer_export.data.affectnet import open_affectnet
from edgefer_export.data.bu_3dfe import open_bu_3dfe
from edgefer_export.data.cfee import open_cfee
from edgefer_export.data.ck_plus import open_ck_plus
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.file_dataset import FileDataset, SubjectRule
from edgefer_export.data.folder import open_folder
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.layout_guess import guess_layout
from edgefer_export.data.layouts import LAYOUTS, OWN, Layout, named_folder, parse_layout
from edgefer_export.data.nvie import open_nvie
from edgefer_export.data.pairs import open_pairs
from edgefer_export.data.raf_db import open_raf_db
from edgefer_export.data.rafd import open_rafd
from edgefer_export.data.saliency_folder import open_saliency
from edgefer_export.data.viri import open_viri

__all__ = [
    "LAYOUTS",
    "SYNTHETIC_GRAMMAR",
    "SyntheticSource",
    "is_synthetic",
    "open_dataset",
    "parse_synthetic",
    "require_classes",
]

SYNTHETIC_GRAMMAR = "synthetic:COUNT:SEED[:lwir|nir]"


@dataclass(frozen=True)
class SyntheticSource:
    """`synthetic:COUNT:SEED[:BAND]`, taken apart."""

    count: int
    seed: int
    band: Literal["lwir", "nir"] = "lwir"


def open_dataset(
    text: str,
    layout: str | None = None,
    labels: tuple[str, ...] | None = None,
    *,
    reporter: Reporter | None = None,
) -> Dataset:
    """Open DATA as the command line takes it.

    Args:
        text: a folder, `LAYOUT@FOLDER` with a layout of its own, or `synthetic:COUNT:SEED[:lwir|nir]`.
        layout: one of `LAYOUTS`, with options behind a colon where wanted: `folder:role=infrared`,
            `pairs:subjects=prefix` (names are SUBJECT_REST.ext), `pairs:subjects=name` (the name is the person),
            `raf-db:part=train`, `bu-3dfe:levels=3+4`, `rafd:camera=frontal,labels=basic-7`. None looks at the folder
            (`guess_layout`). A layout in `text` goes before this one.
        labels: class names in the order of the logits. None takes those of the layout's option `labels`, else the data
            set's own order, which for `folder` and `pairs` is the sorted names of the label folders. Named data sets
            match labels by what they mean and leave out classes that are not asked for, with a note.
        reporter: told what was guessed and what was passed over.

    Raises:
        UsageError: the text is not of the grammar, or the layout is unknown.
        DataError: the folder does not exist or is not arranged as the layout says.
    """
    if not text:
        raise UsageError("DATA is empty.", hint=f"Name a folder, or {SYNTHETIC_GRAMMAR}.")
    chosen = None if layout is None else parse_layout(layout)
    if is_synthetic(text):
        if layout is not None and reporter is not None:
            # Not an error: one --layout serves several data sets, of which some may be synthetic.
            reporter.note(f"{text} has no layout; {layout} is not used for it.")
        return _open_synthetic(parse_synthetic(text), labels)
    own = named_folder(text)
    folder = text
    if own is not None:
        chosen, folder = parse_layout(own[0]), own[1]
    root = Path(folder).expanduser()
    _check_folder(root, folder)
    guessed = chosen is None
    chosen = chosen or guess_layout(root)
    if labels is None and chosen["labels"] != OWN:
        labels = LABEL_SETS[chosen["labels"]]
    dataset = _OPEN[chosen.name](root, text, labels, chosen)
    if reporter is not None:
        if guessed:
            reporter.note(f"{text} is read in the layout `{chosen.name}`.")
        for note in dataset.notes:
            reporter.note(note)
    return dataset


def is_synthetic(text: str) -> bool:
    """Whether DATA stands for synthetic pairs and not for a folder."""
    return text.startswith("synthetic:") or text == "synthetic"


def require_classes(dataset: Dataset) -> None:
    """Refuse a data set that cannot tell right from wrong.

    Raises:
        DataError: it has fewer than two classes.
    """
    if len(dataset.labels) < 2:
        raise DataError(
            f"{dataset.source} has {len(dataset.labels)} class ({', '.join(dataset.labels)}); labels need at least "
            "two.",
            hint="Arrange the images as DIR/LABEL/NAME.ext.",
        )


def parse_synthetic(text: str) -> SyntheticSource:
    """Take `synthetic:COUNT:SEED[:lwir|nir]` apart.

    Raises:
        UsageError: the text is not of that grammar, or COUNT is 0.
    """
    match = re.fullmatch(r"synthetic:(\d{1,9}):(\d{1,10})(?::(lwir|nir))?", text)
    if match is None:
        raise UsageError(
            f"{text} is not a synthetic data set; {SYNTHETIC_GRAMMAR} is expected.",
            hint="For example synthetic:2000:7:nir. A folder of that name is written ./synthetic:…",
        )
    count, seed = int(match[1]), int(match[2])
    if count < 1:
        raise UsageError(f"{text} asks for no pairs; COUNT starts at 1 in {SYNTHETIC_GRAMMAR}.")
    return SyntheticSource(count, seed, cast(Literal["lwir", "nir"], match[3] or "lwir"))


def _check_folder(root: Path, text: str) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise DataError(f"{text} is a file; a folder of images is expected.", hint=f"Name {root.parent}, for example.")
    siblings = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    close = difflib.get_close_matches(root.name, siblings, 1, 0.5)
    raise DataError(
        f"There is no folder {text}.",
        hint=f"Did you mean {root.parent / close[0]}?" if close else f"DATA is a folder or {SYNTHETIC_GRAMMAR}.",
    )


def _open_synthetic(source: SyntheticSource, labels: tuple[str, ...] | None) -> Dataset:
    from edgefer_export.data.synthetic import SyntheticPairs

    if labels is None:
        return SyntheticPairs(count=source.count, seed=source.seed, band=source.band)
    return SyntheticPairs(count=source.count, seed=source.seed, band=source.band, labels=labels)


_Open = Callable[[Path, str, "tuple[str, ...] | None", Layout], FileDataset]
_OPEN: dict[str, _Open] = {
    "folder": lambda root, text, labels, layout: open_folder(
        root, text, labels, role=layout["role"], subjects=_subjects(layout)
    ),
    "pairs": lambda root, text, labels, layout: open_pairs(root, text, labels, subjects=_subjects(layout)),
    "viri": lambda root, text, labels, layout: open_viri(root, text, labels, subjects=_subjects(layout)),
    "nvie": lambda root, text, labels, layout: open_nvie(
        root, text, labels, expressions=layout["expressions"], subjects=_subjects(layout)
    ),
    "raf-db": lambda root, text, labels, layout: open_raf_db(
        root, text, labels, part=layout["part"], images=layout["images"]
    ),
    "ck+": lambda root, text, labels, layout: open_ck_plus(
        root, text, labels, neutral=layout["neutral"], peak=int(layout["peak"])
    ),
    "bu-3dfe": lambda root, text, labels, layout: open_bu_3dfe(root, text, labels, levels=layout.several("levels")),
    "cfee": lambda root, text, labels, layout: open_cfee(root, text, labels, categories=layout["categories"]),
    "rafd": lambda root, text, labels, layout: open_rafd(
        root, text, labels, camera=layout["camera"], gaze=layout["gaze"]
    ),
    "affectnet": lambda root, text, labels, layout: open_affectnet(root, text, labels, part=layout["part"]),
    "saliency": lambda root, text, labels, layout: open_saliency(root, text),
}


def _subjects(layout: Layout) -> SubjectRule:
    return cast(SubjectRule, layout["subjects"])
