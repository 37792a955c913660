"""Settings in words. What several figures have in common is said once, what sets them apart becomes their name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgefer.benchmark.result import Settings

MEASURED = {
    "infer": "ready tensors in, estimate out",
    "images": "images in, estimate out, pre-processing included",
    "runner": "the runner alone, ready tensors in, logits out",
}

_LONG = ("versions", "note")

_COPIES = {"on": "copies inside", "off": "copies outside", "not-applicable": "copies do not apply"}
_GRAPH = {"on": "CUDA graph on", "off": "CUDA graph off", "not-applicable": "CUDA graph does not apply"}
_WAIT = {"spin": "spinning wait", "block": "blocking wait", "not-applicable": "wait mode does not apply"}


def described(settings: Settings) -> dict[str, str]:
    """Every setting in words, by its name; those that do not apply say so, none is left out."""
    threads = "threads left to the runner" if settings.threads is None else _plural(settings.threads, "thread")
    words = {
        "measured": settings.measured,
        "runner": f"{settings.runner} on {settings.device}",
        "precision": settings.precision.upper(),
        "threads": threads,
        "batch": f"batch {settings.batch}",
        "streams": _plural(settings.streams, "stream"),
        "copies": _COPIES[settings.copies],
        "graph": _GRAPH[settings.graph],
        "wait": _WAIT[settings.wait],
    }
    if settings.versions:
        words["versions"] = ", ".join(f"{name} {version}" for name, version in settings.versions.items())
    if settings.note:
        words["note"] = settings.note
    return words


def statement(settings: Settings) -> str:
    """All settings of one figure in a line."""
    return _line(described(settings))


@dataclass(frozen=True)
class Apart:
    """Several settings: `common` is what all share, in a line, `names` what sets each apart, and `details` what else
    each has of its own that is too long for a name: versions, and how its runner was set."""

    common: str
    names: tuple[str, ...]
    details: tuple[str, ...]


def apart(
    settings: Sequence[Settings], *, columns: Collection[str] = (), named: Sequence[str] = ("measured",)
) -> Apart:
    """What figures that stand together have in common, and what sets each apart.

    Args:
        settings: one for each figure.
        columns: settings that have columns of their own, which no text needs to say.
        named: settings that belong into the name even where all have the same; with any, no two names are the same.
    """
    words = [described(each) for each in settings]
    keys = [key for key in dict.fromkeys(key for each in words for key in each) if key not in columns]
    varying = [key for key in keys if len({each.get(key) for each in words}) > 1]
    short = [key for key in dict.fromkeys([*named, *varying]) if key not in _LONG and key not in columns]
    names = [", ".join(each[key] for key in short if key in each) for each in words]
    details = (" · ".join(each[key] for key in varying if key in _LONG and key in each) for each in words)
    common = {key: each for key, each in (words[0].items() if words else ()) if key in keys}
    common = {key: each for key, each in common.items() if key not in short and key not in varying}
    return Apart(_line(common), _unique(names) if named else tuple(names), tuple(details))


def _line(words: dict[str, str]) -> str:
    idle = ("copies", "graph", "wait")
    if all("not apply" in words.get(key, "") for key in idle):
        words = {key: text for key, text in words.items() if key not in idle}
        words["copies"] = "copies, CUDA graph and wait mode do not apply"
    return " · ".join(MEASURED.get(text, text) if key == "measured" else text for key, text in words.items())


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    seen: Counter[str] = Counter()
    total = Counter(names)
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if name and total[name] > 1 else name)
    return tuple(unique)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
