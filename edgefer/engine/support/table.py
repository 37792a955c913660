"""The facts of a target, with those of the releases that it is based on, as one table."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec

from edgefer.engine.support.schema import Facts, OnnxRelease, OpsetRange, Restriction, Tensors
from edgefer.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TARGETS = ("tensorrt-10.3", "tensorrt-10.13", "tensorrt-10.16", "tensorrt-11", "rtx")
"""The targets that there are facts of, the oldest first."""


@dataclass(frozen=True)
class Operator:
    """An operator that a release takes. `types` is None where its element types are not known."""

    types: frozenset[str] | None
    source: str
    restrictions: tuple[Restriction, ...] = ()


@dataclass(frozen=True)
class Table:
    """What the parser of one target takes; sources are spelt out.

    Attributes:
        target: one of `TARGETS`.
        title: the release in words.
        notes: what a reader must know about these facts, such as what was inherited.
        onnx, opset, tensors: the format, see the schema.
        operators: what is taken, by name.
        unsupported: names that are known not to be taken, with the source.
        plugins: names of the plugins that come with the release, with the source.
        by_name: where it says that the parser looks operators up by their name and not by their domain.
    """

    target: str
    title: str
    notes: tuple[str, ...]
    onnx: OnnxRelease
    opset: OpsetRange
    tensors: Tensors
    operators: Mapping[str, Operator]
    unsupported: Mapping[str, str]
    plugins: Mapping[str, str]
    by_name: str


def check_target(name: str) -> str:
    """`name` where it is a target.

    Raises:
        UsageError: it is not; a release in between two of them is neither of them.
    """
    if name in TARGETS:
        return name
    raise UsageError(f"There are no facts of the target {name!r}.", hint=f"Targets: {', '.join(TARGETS)}.")


@functools.cache
def table(target: str) -> Table:
    """The facts of one target.

    Raises:
        UsageError: there is no such target.
    """
    chain = _chain(check_target(target))
    sources: dict[str, str] = {}
    types: dict[str, tuple[str, ...]] = {}
    operators: dict[str, tuple[str, str]] = {}
    unsupported: dict[str, str] = {}
    plugins: dict[str, str] = {}
    restrictions: dict[str, list[Restriction]] = {}
    notes: list[str] = []
    merged: dict[str, Any] = {}
    for facts in chain:
        sources |= facts.sources
        types |= facts.types
        notes += facts.notes
        merged |= {
            name: getattr(facts, name) for name in ("onnx", "opset", "tensors", "by_name") if getattr(facts, name)
        }
        for names in facts.operators:
            operators |= dict.fromkeys(names.names, (names.types, names.source))
            for name in names.names:
                unsupported.pop(name, None)
        for names in facts.unsupported:
            unsupported |= dict.fromkeys(names.names, sources[names.source])
            for name in names.names:
                operators.pop(name, None)
        if facts.plugins is not None:
            plugins = dict.fromkeys(facts.plugins.names, sources[facts.plugins.source])
        for lifted in facts.lifted:
            for name in lifted.operators:
                restrictions[name] = [each for each in restrictions.get(name, []) if each.check != lifted.check]
        for restriction in facts.restrictions:
            spelt = msgspec.structs.replace(restriction, source=sources[restriction.source])
            for name in restriction.operators:
                restrictions.setdefault(name, []).append(spelt)
    return Table(
        target=target,
        title=chain[-1].title,
        notes=tuple(notes),
        onnx=_spelt(merged["onnx"], sources),
        opset=_spelt(merged["opset"], sources),
        tensors=_spelt(merged["tensors"], sources),
        operators={
            name: Operator(
                types=frozenset(types[key]) if key else None,
                source=sources[source],
                restrictions=tuple(restrictions.get(name, ())),
            )
            for name, (key, source) in operators.items()
        },
        unsupported=unsupported,
        plugins=plugins,
        by_name=sources[merged["by_name"].source],
    )


def _chain(target: str) -> list[Facts]:
    """The files that a target rests on, the oldest first."""
    chain: list[Facts] = []
    name = target
    while name:
        text = (resources.files("edgefer.engine.support") / "facts" / f"{name}.toml").read_text(encoding="utf-8")
        facts = msgspec.convert(tomllib.loads(text), Facts)
        chain.append(facts)
        name = facts.base
    return chain[::-1]


def _spelt(fact: Any, sources: Mapping[str, str]) -> Any:
    return msgspec.structs.replace(fact, source=sources[fact.source])
