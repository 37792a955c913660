"""From what the user wrote for DATA to a data set: a folder in one of the layouts, or synthetic pairs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from edgefer.errors import DataError, UsageError
from edgefer.progress import Reporter
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.file_dataset import FileDataset, SubjectRule
from edgefer_export.data.folder import open_folder
from edgefer_export.data.pairs import ROLES, open_pairs
from edgefer_export.data.viri import modality_folder, open_viri

LAYOUTS = ("folder", "pairs", "viri")
"""Names of the layouts on disk."""

SYNTHETIC_GRAMMAR = "synthetic:COUNT:SEED[:lwir|nir]"
_LAYOUT_GRAMMAR = "NAME[:role=visible|infrared][,subjects=none|prefix|name]"


@dataclass(frozen=True)
class SyntheticSource:
    """`synthetic:COUNT:SEED[:BAND]`, taken apart."""

    count: int
    seed: int
    band: Literal["lwir", "nir"] = "lwir"


@dataclass(frozen=True)
class Layout:
    """How a folder is to be read. `role` says which camera the images of a `folder` come from."""

    name: str
    role: Literal["visible", "infrared"] = "visible"
    subjects: SubjectRule = "none"


def open_dataset(
    text: str,
    layout: str | None = None,
    labels: tuple[str, ...] | None = None,
    *,
    reporter: Reporter | None = None,
) -> Dataset:
    """Open DATA as the command line takes it.

    Args:
        text: a folder, or `synthetic:COUNT:SEED[:lwir|nir]`.
        layout: `folder`, `pairs` or `viri`, with options behind a colon where wanted: `folder:role=infrared`,
            `pairs:subjects=prefix` (names are SUBJECT_REST.ext), `pairs:subjects=name` (the name is the person).
            None looks: `pairs` where there are visible/ and infrared/, `viri` where there are VIS/ and IR/, else
            `folder`.
        labels: class names in the order of the logits. None takes the sorted names of the label folders (`viri`: the
            published order; synthetic: its own).
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
    root = Path(text).expanduser()
    _check_folder(root, text)
    chosen = chosen or guess_layout(root)
    dataset = _OPEN[chosen.name](root, text, labels, chosen)
    if reporter is not None:
        if layout is None:
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


def parse_layout(text: str) -> Layout:
    """Take `NAME[:KEY=VALUE[,KEY=VALUE]]` apart.

    Raises:
        UsageError: the layout, a key or a value is unknown.
    """
    name, _, rest = text.partition(":")
    if name not in LAYOUTS:
        close = difflib.get_close_matches(name, LAYOUTS, 1)
        raise UsageError(
            f"{name or text!r} is no layout; there are {', '.join(LAYOUTS)}.",
            hint=f"Did you mean {close[0]}?" if close else "Leave --layout out to have it looked at.",
        )
    role, subjects = "visible", "none"
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key == "role" and name == "folder" and value in ROLES:
            role = value
        elif key == "subjects" and value in get_args(SubjectRule):
            subjects = value
        else:
            raise UsageError(
                f"{item!r} does not go with the layout `{name}`; {_LAYOUT_GRAMMAR} is expected, `role` with `folder` "
                "only."
            )
    return Layout(name, cast(Literal["visible", "infrared"], role), cast(SubjectRule, subjects))


def guess_layout(root: Path) -> Layout:
    """The layout that a folder's subfolders speak for.

    Raises:
        DataError: one of visible/ and infrared/ is there without the other.
    """
    there = [role for role in ROLES if (root / role).is_dir()]
    if len(there) == 1:
        raise DataError(
            f"{root} has {there[0]}/ but no {'infrared' if there[0] == 'visible' else 'visible'}/: pairs with one half "
            "missing, or a label of that name?",
            hint=f"Add the other half, or name {root / there[0]} with --layout folder"
            f"{':role=infrared' if there[0] == 'infrared' else ''}.",
        )
    if there:
        return Layout("pairs")
    if all(modality_folder(root, role) is not None for role in ROLES):
        return Layout("viri")
    return Layout("folder")


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
        root, text, labels, role=layout.role, subjects=layout.subjects
    ),
    "pairs": lambda root, text, labels, layout: open_pairs(root, text, labels, subjects=layout.subjects),
    "viri": lambda root, text, labels, layout: open_viri(root, text, labels, subjects=layout.subjects),
}
