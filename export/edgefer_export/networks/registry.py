"""The networks by name, and the one form in which the rest of the host half knows a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from edgefer.bundle.manifest import GraphRole, InputSpec
from edgefer.errors import UsageError
from edgefer_export.networks import cbam_fusion, naseem2025
from edgefer_export.networks.family import LABEL_SETS, Band, NetworkFamily
from edgefer_export.networks.options import Option, Settings, did_you_mean, read

_FAMILIES: dict[str, NetworkFamily] = {family.name: family for family in (*naseem2025.FAMILIES, *cbam_fusion.FAMILIES)}


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with all that an export must know of it.

    `options` holds every option as text, defaults included, so that `create` makes the same network again. `inputs`
    are named as in the network's `forward`; `labels` are in the order of the logits. `source` says where it came from:
    the paper, or the user's file.
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


@dataclass(frozen=True)
class NetworkDescription:
    """What `edgefer networks` says about one network."""

    name: str
    summary: str
    paper: str
    graph_role: GraphRole
    options: tuple[Option, ...]


def names() -> tuple[str, ...]:
    """The registered networks."""
    return tuple(_FAMILIES)


def describe(name: str) -> NetworkDescription:
    """Summary, paper and options of a registered network.

    Raises:
        UsageError: no such network; the message lists those there are.
    """
    family = _family(name)
    return NetworkDescription(family.name, family.summary, family.paper, family.graph_role, family.options)


def create(
    name: str,
    options: Mapping[str, str] | None = None,
    labels: tuple[str, ...] | None = None,
    band: Band | None = None,
) -> LoadedNetwork:
    """A registered network with fresh weights.

    Args:
        options: option name to text; see `describe`.
        labels: the class names in the order of the logits; decides the number of classes.
        band: of the infrared camera; long-wave (`lwir`) unless said.

    Raises:
        UsageError: unknown name, option or value, or labels that contradict `classes`.
    """
    family = _family(name)
    settings, chosen = _labelled(read(family.options, options or {}, name), labels)
    return LoadedNetwork(
        module=family.build(settings),
        name=name,
        options=settings.as_text(),
        inputs=family.inputs(settings, band or "lwir"),
        labels=chosen,
        graph_role=family.graph_role,
        source=family.paper,
    )


def _family(name: str) -> NetworkFamily:
    if name not in _FAMILIES:
        raise UsageError(
            f"there is no network {name!r}; there are {', '.join(_FAMILIES)}",
            hint=did_you_mean(name, _FAMILIES) or "a network of your own is given as FILE.py:FACTORY",
        )
    return _FAMILIES[name]


def _labelled(settings: Settings, labels: tuple[str, ...] | None) -> tuple[Settings, tuple[str, ...]]:
    """The labels and the settings with `classes` to match."""
    chosen = settings.text("labels")
    if labels is None and chosen != "auto":
        labels = LABEL_SETS[chosen]
    classes = settings.integer("classes")
    if labels is None:
        known = {len(names): names for names in LABEL_SETS.values()}
        return settings, known.get(classes, tuple(f"class_{index}" for index in range(classes)))
    check_labels(labels)
    if "classes" in settings.given and classes != len(labels):
        raise UsageError(
            f"classes={classes}, but there are {len(labels)} labels: {', '.join(labels)}",
            hint="leave out classes; the labels decide it",
        )
    return settings.replace("classes", len(labels)), labels


def check_labels(labels: tuple[str, ...]) -> None:
    """Raises UsageError for fewer than two labels, an empty one or one that occurs twice."""
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UsageError(f"labels occur twice: {', '.join(twice)}", hint="each class needs its own label")
    if len(labels) < 2 or not all(labels):
        raise UsageError(f"expected two or more labels, found {list(labels)}", hint="name each class")
