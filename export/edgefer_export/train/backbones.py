"""Starting a network of two trunks from two that were trained alone."""

from __future__ import annotations

from pathlib import Path

import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer_export.checkpoint import CheckpointMetadata, CheckpointReport, load_weights, read_metadata
from edgefer_export.networks import registry
from edgefer_export.networks.registry import LoadedNetwork

_SOURCE = "backbone"
_PLACES = ("first", "second")
# What must agree with the network for the trunk to fit, and for its features to mean the same.
_SHARED = ("width", "norm", "attention")


def load_backbones(network: LoadedNetwork, paths: tuple[Path, Path]) -> tuple[CheckpointReport, CheckpointReport]:
    """Give both trunks of `network` the weights of two checkpoints of `backbone`, in the order of its `backbones`.

    `late-fusion` takes their classifiers too, and so their labels must be its own. Nothing is loaded unless both fit.

    Raises:
        UsageError: the network has no two trunks.
        CheckpointError: a file cannot be read, holds another network, another trunk, or one of another width,
            normalisation or attention, or other labels where those count.
    """
    if "backbones" not in network.options:
        raise UsageError(
            f"{network.name} does not start from two backbones",
            hint=f"networks with the option backbones do: {', '.join(_with_two_trunks())}",
        )
    state: dict[str, torch.Tensor] = {}
    reports = []
    for place, trunk, path in zip(_PLACES, network.options["backbones"].split("+"), paths, strict=True):
        metadata = _checked(network, place, trunk, Path(path))
        source = registry.create(_SOURCE, metadata.options, labels=metadata.labels).module
        reports.append(load_weights(source, path))
        state.update(_renamed(source.state_dict(), place))
    target = network.module.state_dict()
    network.module.load_state_dict({name: tensor for name, tensor in state.items() if name in target}, strict=False)
    first, second = reports
    return first, second


def _with_two_trunks() -> list[str]:
    return [
        name for name in registry.names() if any(each.name == "backbones" for each in registry.describe(name).options)
    ]


def _checked(network: LoadedNetwork, place: str, trunk: str, path: Path) -> CheckpointMetadata:
    """What the checkpoint says about itself, once that agrees with its place in the network."""
    metadata = read_metadata(path)
    if metadata is None or metadata.network != _SOURCE:
        raise CheckpointError(
            f"{path} holds {metadata.network if metadata else 'weights without a description'}; the {place} trunk of "
            f"{network.name} is a checkpoint of {_SOURCE} with backbone={trunk}",
            hint=f"make one with `edgefer train {_SOURCE} --option backbone={trunk}`",
        )
    found = metadata.options.get("backbone")
    if found != trunk:
        raise CheckpointError(
            f"{path} holds a backbone {found}; the {place} one of backbones={network.options['backbones']} is {trunk}",
            hint="give the checkpoints in the order of the option backbones",
        )
    for option in _SHARED:
        if metadata.options.get(option) != network.options[option]:
            raise CheckpointError(
                f"the backbone in {path} was trained with {option}={metadata.options.get(option)}, {network.name} has "
                f"{option}={network.options[option]}",
                hint=f"use the same {option} for the backbones and for what fuses them",
            )
    if hasattr(network.module, f"{place}_fc") and metadata.labels != network.labels:
        raise CheckpointError(
            f"the classifier in {path} has the labels {', '.join(metadata.labels)}; {network.name} has "
            f"{', '.join(network.labels)}",
            hint="probabilities are averaged label by label; train the backbones on the labels of the fusion",
        )
    return metadata


def _renamed(state: dict[str, torch.Tensor], place: str) -> dict[str, torch.Tensor]:
    """A backbone's weights under the names that they have in a network of two; the norm has none."""
    prefixes = {"trunk.": f"{place}.", "fc.": f"{place}_fc."}
    return {
        new + name[len(old) :]: tensor
        for name, tensor in state.items()
        for old, new in prefixes.items()
        if name.startswith(old)
    }
