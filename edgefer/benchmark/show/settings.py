"""Settings in words. What several figures have in common is said once, what sets them apart becomes their name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from edgefer.benchmark.result import Settings

MEASURED = {
    "infer": "ready tensors in, estimate out",
    "images": "images in, estimate out, pre-processing included",
    "runner": "the runner alone, ready tensors in, logits out",
}

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


def apart(
    settings: Sequence[Settings], *, columns: Collection[str] = (), named: Sequence[str] = ("measured",)
) -> tuple[str, tuple[str, ...]]:
    """What all have in common, in a line, and for each a name made of the rest.

    Args:
        settings: of the figures that stand together.
        columns: settings that have columns of their own, which neither text needs to say.
        named: settings that belong into the name even where all have the same.
    """
    words = [described(each) for each in settings]
    keys = [key for key in dict.fromkeys(key for each in words for key in each) if key not in columns]
    varying = [key for key in keys if len({each.get(key) for each in words}) > 1]
    own = [key for key in dict.fromkeys([*named, *varying]) if key not in columns]
    names = [", ".join(each[key] for key in own if key in each) for each in words]
    common = {key: text for key, text in (words[0].items() if words else ()) if key in keys and key not in own}
    return _line(common), _unique(names)


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
