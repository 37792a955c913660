"""Which block of the network a layer belongs to, told from names.

Names of exported networks are paths of modules: `/visible/layer1/layer1.0/conv1/Conv` is the operator `Conv` of module
`visible.layer1.0.conv1`. A block is the first two modules of the path (`visible/layer1`), or one where the second only
numbers the parts of the first (`/head/head.1/Gemm` is of `head`). Names of initialisers have dots instead
(`visible.layer1.0.conv1.weight`). What has no such name belongs where its output goes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_TENSOR = re.compile(r"_output_\d+.*$")
_FUSED = re.compile(r"^fused ")
_NOT_A_SCOPE = re.compile(r"^(_inlfunc_|__my|onnx::|node_|\d*$)")
_COPY = re.compile(r"^Reformatting CopyNode for .*? (?:to|from) ")
_DEPTH = 2


@dataclass(frozen=True)
class Node:
    """A node for the purpose of finding its block: its name (may be empty), kind, and tensors by name."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def scopes(name: str) -> tuple[str, ...]:
    """The modules that a name says, outermost first; empty for a name that says none.

    >>> scopes("/visible/layer1/layer1.0/conv1/Conv")
    ('visible', 'layer1', 'layer1.0', 'conv1')
    >>> scopes("visible.layer1.0.conv1.weight_DequantizeLinear")
    ('visible', 'layer1', '0', 'conv1')
    """
    name = _TENSOR.sub("", _FUSED.sub("", name.strip()))
    if _NOT_A_SCOPE.match(name):
        return ()
    separator = "/" if "/" in name else "."
    parts = [part for part in name.split(separator) if part]
    return tuple(parts[:-1])


def shared_scopes(names: Iterable[str]) -> int:
    """How many leading modules all names share: a wrapper around the whole network tells blocks nothing."""
    paths = [path for path in map(scopes, names) if path]
    if not paths:
        return 0
    shared = 0
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return min(shared, min(map(len, paths)) - 1)


def block(name: str, drop: int = 0) -> str | None:
    """The block that a name tells, without the first `drop` modules; None where it tells none."""
    path = scopes(name)[drop:]
    if path:
        first, *rest = path[:_DEPTH]
        numbered = rest and (rest[0].isdigit() or rest[0].startswith(f"{first}."))
        return first if numbered or not rest else f"{first}/{rest[0]}"
    bare = _TENSOR.sub("", name)
    # `/Concat` is an operator of the network's own outermost module.
    return bare[1:] if bare.startswith("/") and len(bare) > 1 and "/" not in bare[1:] else None


def blocks_of(nodes: Sequence[Node]) -> list[str]:
    """The block of every node: from its name, else from its outputs' names, else where its output goes, else its kind.

    `nodes` are in an order in which producers come before consumers.
    """
    drop = shared_scopes(node.name for node in nodes)
    goes_to: dict[str, str] = {}
    found: list[str] = []
    for node in reversed(nodes):
        names = (node.name, *(name for name in node.outputs if "/" in name))  # `input.4` is no path
        told = next((each for each in (block(name, drop) for name in names) if each is not None), None)
        if told is None:
            told = next((goes_to[name] for name in node.outputs if name in goes_to), None)
        known = node.kind if told is None else told
        if told is not None:
            for name in node.inputs:
                goes_to[name] = known  # the first consumer in the graph's order is the last one seen
        found.append(known)
    return found[::-1]


def most_common(parts: Iterable[str], blocks: Mapping[str, str]) -> str | None:
    """The block that most of a fused layer's parts belong to, the first of equals; None where none is known."""
    counted = Counter(blocks[part] for part in parts if part in blocks)
    return counted.most_common(1)[0][0] if counted else None


def parts_of(name: str) -> tuple[str, ...]:
    """The layers in TensorRT's name of a fused one, without its suffixes: `a + b`, `{ForeignNode[a...b]}`, or a
    reformat for a layer."""
    name = _COPY.sub("", name.strip())
    inner = re.fullmatch(r"\{?ForeignNode\[(.*)\]\}?", name)
    text = inner[1].replace("...", " + ") if inner else name
    parts = (re.sub(r"(_myl\d+_\d+| \|\|.*)$", "", part.strip()) for part in text.split(" + "))
    return tuple(part for part in parts if part)
