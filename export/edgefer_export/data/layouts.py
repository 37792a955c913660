"""The layouts by name, with the options of each: what `--layout NAME[:KEY=VALUE[,KEY=VALUE]]` may say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from edgefer.errors import UsageError
from edgefer_export.data.file_dataset import SubjectRule
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.data.pairs import ROLES


@dataclass(frozen=True)
class Choice:
    """The values of an option, the default first; `several` may be joined by `+`, and all are taken by default."""

    values: tuple[str, ...]
    several: bool = False


@dataclass(frozen=True)
class Layout:
    """How a folder is to be read: a layout's name and what each of its options says, defaults included."""

    name: str
    options: Mapping[str, str]

    def __getitem__(self, option: str) -> str:
        return self.options[option]

    def several(self, option: str) -> tuple[str, ...]:
        """The values of an option that takes more than one."""
        return tuple(self.options[option].split("+"))


_SUBJECTS = Choice(get_args(SubjectRule))
_PART = Choice(("all", "train", "test"))
_OPTIONS: dict[str, dict[str, Choice]] = {
    "folder": {"role": Choice(ROLES), "subjects": _SUBJECTS},
    "pairs": {"subjects": _SUBJECTS},
    "viri": {"subjects": _SUBJECTS},
    "nvie": {"expressions": Choice(("3", "6")), "subjects": Choice(("prefix", "name", "none"))},
    "raf-db": {"part": _PART, "images": Choice(("aligned", "original"))},
    "ck+": {"neutral": Choice(("first", "none")), "peak": Choice(("1", "2", "3", "4", "5"))},
    "bu-3dfe": {"levels": Choice(("1", "2", "3", "4"), several=True)},
    "cfee": {"categories": Choice(("basic", "all"))},
    "rafd": {"camera": Choice(("any", "frontal")), "gaze": Choice(("any", "frontal"))},
    "affectnet": {"part": _PART},
    "saliency": {},
}

LAYOUTS = tuple(_OPTIONS)
"""Names of the layouts on disk."""

_LABELS = "labels"
OWN = "own"
"""The value of `labels` that leaves a data set its own order."""


def parse_layout(text: str) -> Layout:
    """Take `NAME[:KEY=VALUE[,KEY=VALUE]]` apart.

    Every layout has the option `labels=SET`, a name of `LABEL_SETS`: the order of labels that the classes are put
    into, matched by what they mean.

    Raises:
        UsageError: the layout, a key or a value is unknown, or a key is given twice.
    """
    name, _, rest = text.partition(":")
    if name not in LAYOUTS:
        close = difflib.get_close_matches(name.lower(), LAYOUTS, 1)
        raise UsageError(
            f"{name or text!r} is no layout; there are {', '.join(LAYOUTS)}.",
            hint=f"Did you mean {close[0]}?" if close else "Leave --layout out to have it looked at.",
        )
    choices = _choices(name)
    given: dict[str, str] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        choice = choices.get(key)
        if choice is None or not _allowed(choice, value):
            raise UsageError(f"{item!r} does not go with the layout `{name}`; {_grammar(name)} is expected.")
        if key in given:
            raise UsageError(f"{key} is given twice in {text}.", hint="Say it once.")
        given[key] = value
    return Layout(name, {key: _default(choice) for key, choice in choices.items()} | given)


def named_folder(text: str) -> tuple[str, str] | None:
    """`LAYOUT@FOLDER` taken apart, or None where the text is not of that form: a folder that says itself how it is to
    be read, so that the data sets of one command may differ in it.

    Raises:
        UsageError: the folder is left out.
    """
    layout, at, folder = text.partition("@")
    if not at or layout.partition(":")[0] not in LAYOUTS:
        return None
    if not folder:
        raise UsageError(f"{text} names no folder; LAYOUT@FOLDER is expected.", hint=f"For example {layout}@data.")
    return layout, folder


def _choices(name: str) -> dict[str, Choice]:
    return {**_OPTIONS[name], _LABELS: Choice((OWN, *LABEL_SETS))}


def _default(choice: Choice) -> str:
    return "+".join(choice.values) if choice.several else choice.values[0]


def _allowed(choice: Choice, value: str) -> bool:
    values = value.split("+") if choice.several else [value]
    return all(each in choice.values for each in values) and len(set(values)) == len(values)


def _grammar(name: str) -> str:
    options = ",".join(
        f"{key}={('+' if choice.several else '|').join(choice.values)}" for key, choice in _choices(name).items()
    )
    return f"{name}[:{options}]"
