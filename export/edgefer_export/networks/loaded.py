"""The one form in which the rest of the host half knows a network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from edgefer.bundle.manifest import GraphRole, InputSpec
from edgefer.errors import UsageError


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with all that an export must know of it.

    `options` holds every option as text, defaults included, so that `create` makes the same network again. `inputs`
    are named as in the network's `forward`, or stand in its order; `labels` are in the order of the logits. `source`
    says where it came from: the paper, or the user's file.
    """

    module: nn.Module
    name: str
    options: dict[str, str]
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    graph_role: GraphRole
    source: str

    @property
    def parameters(self) -> int:
        """Number of trainable and frozen parameters; buffers such as running statistics do not count."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def check_labels(labels: tuple[str, ...]) -> None:
    """Raises UsageError for fewer than two labels, an empty one or one that occurs twice."""
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UsageError(f"labels occur twice: {', '.join(twice)}", hint="each class needs its own label")
    if len(labels) < 2 or not all(labels):
        raise UsageError(f"expected two or more labels, found {list(labels)}", hint="name each class")


def class_names(count: int) -> tuple[str, ...]:
    """Labels for classes that nobody named."""
    return tuple(f"class_{index}" for index in range(count))
