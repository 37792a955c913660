"""A block of attention as it was read from a graph, and as the node that takes its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from onnxscript import ir

from edgefer_export.fuse_attention.values import Weights
from edgefer_export.operators import Variant, variant

Operator = Literal["ChannelGate", "CbamAttention"]


@dataclass(frozen=True, eq=False)
class Block:
    """The nodes that compute a block, `root` the last of them.

    `maps` are the inputs of the new node that are computed (X, R), `weights` those that are constant. `name` is the
    module that the nodes come from, as far as their names tell.
    """

    operator: Operator
    name: str
    root: ir.Node
    nodes: tuple[ir.Node, ...]
    maps: Mapping[str, ir.Value]
    weights: Mapping[str, Weights]
    attributes: Mapping[str, int | float | str]

    @property
    def key(self) -> str:
        """The name of the tensor that the block gives, which says where it is in a graph."""
        return str(self.root.outputs[0].name)

    @property
    def variant(self) -> Variant:
        return variant(self.operator, frozenset({*self.maps, *self.weights}), **self.attributes)


def name_of(nodes: Iterable[ir.Node], root: ir.Node) -> str:
    """The common part of the nodes' paths, which is the module around them; the name of `root` where there is none."""
    paths = [str(node.name or "").split("/")[:-1] for node in nodes]
    common: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common) or str(root.name or root.outputs[0].name)
