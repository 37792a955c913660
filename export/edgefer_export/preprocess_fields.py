"""Reading what is said about images: the table `[preprocess]` of a specification and the flag `--preprocess`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from edgefer.bundle.manifest import Align, Equalise, Fit, GreyWeights, ResizeRule
from edgefer.errors import UsageError

EVERY_INPUT = ""
"""In place of an input's name: what is said of all images."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "imagenet": {
        "colour": "rgb",
        "range": (0.0, 1.0),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    },
    "caffe": {"colour": "bgr", "range": (0.0, 255.0), "mean": (104.0, 117.0, 123.0), "std": ()},
    "minus-one-to-one": {"range": (-1.0, 1.0), "mean": (), "std": ()},
}
"""What a whole school of networks expects; each decides all of range, mean and standard deviation."""

Read = Callable[[str, Any], Any]


def preprocess_table(name: str, value: Any) -> dict[str, Any]:
    """What is said, flat: values by `KEY` for all images and by `NAME.KEY` for one input, keys with underscores.

    Args:
        value: `KEY=VALUE` and `NAME.KEY=VALUE` as a flag has them, or a table with a table for each input in it.

    Raises:
        UsageError: one of them is not of that form, is given twice, or has a key that there is not.
    """
    table: dict[str, Any] = {}
    for path, said in _paths(name, value):
        owner, _, key = path.rpartition(".")
        key = key.replace("-", "_")
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            raise UsageError(
                f"`{name}` has no key `{key}`" + (f", given for input `{owner}`." if owner else "."),
                hint=f"Did you mean `{near[0]}`?" if near else f"Keys: {', '.join(KEYS)}.",
            )
        flat = f"{owner}.{key}" if owner else key
        if flat in table:
            raise UsageError(f"`{name}` gives `{flat}` twice.")
        table[flat] = said
    return table


def preprocess(name: str, value: Any) -> dict[str, dict[str, Any]]:
    """What is said by input, `EVERY_INPUT` for all, and key, values of the types of `ImageSpec`. Takes what it gives.

    Raises:
        UsageError: as `preprocess_table`, or a value cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for path, said in preprocess_table(name, value).items():
        owner, _, key = path.rpartition(".")
        found.setdefault(owner, {})[key] = KEYS[key](f"{name} {path}", said)
    return found


def _paths(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        pairs: list[tuple[str, Any]] = []
        for key, said in value.items():
            if isinstance(said, Mapping):
                pairs += [(f"{key}.{inner}", each) for inner, each in said.items()]
            else:
                pairs.append((str(key), said))
        return pairs
    pairs = []
    for item in [value] if isinstance(value, str) else value if isinstance(value, Sequence) else [None]:
        path, equals, text = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not (path and equals and text):
            raise UsageError(f"`{name}` is {item!r}; expected KEY=VALUE or NAME.KEY=VALUE, such as preset=imagenet.")
        pairs.append((path, text))
    return pairs


def _choice(*known: str) -> Read:
    def choose(name: str, said: Any) -> str:
        if said in known:
            return str(said)
        raise UsageError(f"`{name}` is {said!r}; expected one of {', '.join(known)}.")

    return choose


def _numbers(kind: type[int] | type[float], counts: tuple[int, ...], form: str) -> Read:
    """Numbers from `0.5,0.5`, from an array, or a single one."""

    def numbers(name: str, said: Any) -> Any:
        parts = said.split(",") if isinstance(said, str) else said if isinstance(said, Sequence) else [said]
        try:
            if any(isinstance(part, bool) or (kind is int and isinstance(part, float)) for part in parts):
                raise ValueError
            found = tuple(kind(part) for part in parts)
        except (ValueError, TypeError):
            found = ()
        if len(found) not in counts:
            raise UsageError(f"`{name}` is {said!r}; expected {form}.")
        return found

    return numbers


def _number(name: str, said: Any) -> float:
    (value,) = _numbers(float, (1,), "a number")(name, said)
    return float(value)


def _tiles(name: str, said: Any) -> Any:
    said = said.replace("x", ",").replace("×", ",") if isinstance(said, str) else said
    found = _numbers(int, (1, 2), "whole numbers of tiles across and down, such as 8x8")(name, said)
    return found * (2 // len(found))


_EACH_CHANNEL = "a number, or three separated by commas"

KEYS: Mapping[str, Read] = {
    "preset": _choice(*PRESETS),
    "colour": _choice("rgb", "bgr", "grey"),
    "grey": _choice(*get_args(GreyWeights)),
    "range": _numbers(float, (2,), "two numbers, such as 0,255"),
    "mean": _numbers(float, (1, 3), _EACH_CHANNEL),
    "std": _numbers(float, (1, 3), _EACH_CHANNEL),
    "window16": _numbers(int, (2,), "two whole numbers from 0 to 65535, such as 7000,9000"),
    "crop": _numbers(float, (4,), "left,top,right,bottom as shares of the image, such as 0.1,0,0.9,1"),
    "fit": _choice(*get_args(Fit)),
    "keep": _number,
    "pad": _numbers(int, (1, 3), "a level from 0 to 255, or three separated by commas"),
    "align": _choice(*get_args(Align)),
    "resize": _choice(*get_args(ResizeRule)),
    "equalise": _choice(*get_args(Equalise)),
    "clip_limit": _number,
    "tiles": _tiles,
}
"""Each key and how its value is read; all but `preset` are fields of `ImageSpec`."""
