"""The networks by name: what there is, and how to make one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgefer.bundle.manifest import GraphRole
from edgefer.errors import UsageError
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.networks import (
    backbones,
    cbam_fusion,
    feratt_families,
    fusion_attention,
    fusion_baselines,
    ml_net,
    naseem2025,
    saliency_alexnet,
)
from edgefer_export.networks.family import Band, NetworkFamily
from edgefer_export.networks.forward import LOGITS
from edgefer_export.networks.loaded import LoadedNetwork, check_labels, class_names
from edgefer_export.networks.options import Option, Settings, did_you_mean, read
from edgefer_export.networks.user import from_file, input_specs

__all__ = [
    "LoadedNetwork",
    "NetworkDescription",
    "create",
    "describe",
    "from_file",
    "input_specs",
    "names",
]

_FAMILIES: dict[str, NetworkFamily] = {
    family.name: family
    for family in (
        *naseem2025.FAMILIES,
        *cbam_fusion.FAMILIES,
        *feratt_families.FAMILIES,
        *fusion_attention.FAMILIES,
        *fusion_baselines.FAMILIES,
        *backbones.FAMILIES,
        *ml_net.FAMILIES,
        *saliency_alexnet.FAMILIES,
    )
}


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
    settings = read(family.options, options or {}, name)
    chosen: tuple[str, ...] = ()
    if family.logits:
        settings, chosen = _labelled(family, settings, labels)
    return LoadedNetwork(
        module=family.build(settings),
        name=name,
        options=settings.as_text(),
        inputs=family.inputs(settings, band or "lwir"),
        labels=chosen,
        graph_role=family.graph_role,
        source=family.paper,
        logits=LOGITS if family.logits else None,
        targets=() if family.targets is None else family.targets(settings, band or "lwir"),
    )


def _family(name: str) -> NetworkFamily:
    if name not in _FAMILIES:
        raise UsageError(
            f"there is no network {name!r}; there are {', '.join(_FAMILIES)}",
            hint=did_you_mean(name, _FAMILIES) or "a network of your own is given as FILE.py:FACTORY",
        )
    return _FAMILIES[name]


def _labelled(
    family: NetworkFamily, settings: Settings, labels: tuple[str, ...] | None
) -> tuple[Settings, tuple[str, ...]]:
    """The labels and the settings with `classes` to match."""
    chosen = settings.text("labels")
    if labels is None and chosen != "auto":
        labels = LABEL_SETS[chosen]
    classes = settings.integer("classes")
    if labels is None:
        known = (LABEL_SETS[each] for each in family.label_sets)
        return settings, next((names for names in known if len(names) == classes), class_names(classes))
    check_labels(labels)
    if "classes" in settings.given and classes != len(labels):
        raise UsageError(
            f"classes={classes}, but there are {len(labels)} labels: {', '.join(labels)}",
            hint="leave out classes; the labels decide it",
        )
    return settings.replace("classes", len(labels)), labels
