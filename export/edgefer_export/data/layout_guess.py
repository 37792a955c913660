"""What a folder's contents say about its layout: only what no other data set looks like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from edgefer.errors import DataError
from edgefer_export.data import affectnet, affectnet_arrays, bu_3dfe, ck_plus, raf_db, rafd
from edgefer_export.data.layouts import Layout, parse_layout
from edgefer_export.data.list_file import first_file, first_folder
from edgefer_export.data.pairs import ROLES
from edgefer_export.data.viri import modality_folder

_LOOKED_AT = 64
"""Entries of a folder that are looked at for a telling name."""


def guess_layout(root: Path) -> Layout:
    """The layout that a folder's contents speak for; `folder` where they speak for none. `nvie` and `saliency` are
    never guessed.

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
        return parse_layout("pairs")
    if all(modality_folder(root, role) is not None for role in ROLES):
        return parse_layout("viri")
    return parse_layout(next((name for name, is_one in _SIGNS if is_one(root)), "folder"))


def _is_raf_db(root: Path) -> bool:
    return first_file(root, raf_db.LISTS) is not None


def _is_ck_plus(root: Path) -> bool:
    return first_folder(root, ck_plus.IMAGES) is not None and first_folder(root, ck_plus.EMOTIONS) is not None


def _is_affectnet(root: Path) -> bool:
    if (root / affectnet.LIST_FOLDERS[0]).is_dir() or first_folder(root, affectnet.IMAGE_FOLDERS) is not None:
        return True
    return affectnet_arrays.arrays_folder(root)


def _is_bu_3dfe(root: Path) -> bool:
    subjects = (folder for folder in _folders(root) if re.fullmatch(r"[FM]\d{4}", folder.name))
    return any(bu_3dfe.SCHEME.exact.fullmatch(path.stem) for folder in subjects for path in _first(folder))


def _is_cfee(root: Path) -> bool:
    groups = (folder for folder in _folders(root) if re.fullmatch(r"\d\d-\d\d", folder.name))
    return any(path.is_dir() and path.name.startswith("Images") for folder in groups for path in _first(folder))


def _is_rafd(root: Path) -> bool:
    return any(rafd.SCHEME.exact.fullmatch(path.stem) for path in _first(root))


def _folders(root: Path) -> Iterator[Path]:
    return (entry for entry in root.iterdir() if entry.is_dir())


def _first(folder: Path) -> list[Path]:
    return list(islice(folder.iterdir(), _LOOKED_AT))


_SIGNS: tuple[tuple[str, Callable[[Path], bool]], ...] = (
    ("raf-db", _is_raf_db),
    ("ck+", _is_ck_plus),
    ("affectnet", _is_affectnet),
    ("bu-3dfe", _is_bu_3dfe),
    ("cfee", _is_cfee),
    ("rafd", _is_rafd),
)
