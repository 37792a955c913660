"""Which spellings mean the same expression, and the way from a data set's classes to another order of labels."""

from __future__ import annotations

from collections.abc import Sequence

from edgefer.errors import DataError

_SPELLINGS = {
    "anger": ("angry",),
    "contempt": ("contemptuous",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid"),
    "happiness": ("happy", "joy"),
    "sadness": ("sad",),
    "surprise": ("surprised",),
}
_MEANING = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}


def meaning(label: str) -> str:
    """One name for an expression, whatever its spelling: `Happy` and `happiness` are both `happiness`.

    A label that is none of the usual expressions means itself, letter case aside.
    """
    name = label.strip().lower()
    return _MEANING.get(name, name)


def positions(own: Sequence[str], wanted: Sequence[str], source: str) -> dict[str, int]:
    """The index in `wanted` of each class of a data set; classes that are not wanted have none.

    Raises:
        DataError: two wanted labels mean the same expression, or the data set does not have a wanted class.
    """
    index: dict[str, int] = {}
    for position, label in enumerate(wanted):
        same = index.setdefault(meaning(label), position)
        if same != position:
            raise DataError(
                f"{wanted[same]} and {label} mean the same expression, but are two labels of {', '.join(wanted)}.",
                hint="Each class needs a label of its own.",
            )
    known = {meaning(label) for label in own}
    missing = [label for label in wanted if meaning(label) not in known]
    if missing:
        raise DataError(
            f"{source} has no class {', '.join(missing)}; its classes are {', '.join(own)}.",
            hint="Take labels that the data set has, for example by labels=NAME behind the layout.",
        )
    return {label: index[meaning(label)] for label in own if meaning(label) in index}
