"""Starting a fusion of two cameras from two networks that were trained on one each."""

from __future__ import annotations

from pathlib import Path

import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.networks import registry
from edgefer_export.networks.registry import LoadedNetwork

_ROLES = ("visible", "infrared")
# Parts of a tower in a network of one camera, and where a fusion keeps them.
_TRUNK = {"trunk.": "{role}."}
_GATE = {"gate.linear.": "fusion.{role}."}
# What must agree for a tower to fit, and for its features to mean the same.
_SHARED = {"visible": ("norm", "attention"), "infrared": ("norm", "attention", "infrared_channels")}
_LOOKS_AT = {"linear": "looks at the pooled vector", "square": "looks at its square", "none": "is none"}


def load_towers(network: LoadedNetwork, paths: tuple[Path, Path]) -> tuple[str, ...]:
    """Give both towers of a `viri-fusion` the weights of a `viri-visible` and a `viri-infrared`, and its gates those of
    theirs where they look at the same. Nothing is loaded unless both fit.

    Returns:
        Sentences about gates that were left out.

    Raises:
        UsageError: the network has no two towers.
        CheckpointError: a file cannot be read, holds another network, or a tower of another width, normalisation,
            attention or number of channels.
    """
    if network.name != "viri-fusion":
        raise UsageError(f"only viri-fusion starts from two towers, not {network.name}", hint="give weights instead")
    state: dict[str, torch.Tensor] = {}
    notes: list[str] = []
    for role, path in zip(_ROLES, paths, strict=True):
        tower = _tower(role, path)
        _check_shared(network, tower, role, path)
        places = _TRUNK
        if tower.options["gate"] == network.options["gate"]:
            places = {**_TRUNK, **_GATE}
        else:
            notes.append(_left_out(network, tower, role))
        state.update(_renamed(tower.module.state_dict(), places, role))
    target = network.module.state_dict()
    wrong = [name for name, tensor in state.items() if name not in target or target[name].shape != tensor.shape]
    if wrong:
        raise CheckpointError(
            f"the towers in {' and '.join(map(str, paths))} do not fit {network.name}",
            details="\n".join(wrong[:10]),
            hint="train the towers with the options of the fusion",
        )
    network.module.load_state_dict(state, strict=False)
    return tuple(notes)


def _tower(role: str, path: Path) -> LoadedNetwork:
    metadata = read_metadata(path)
    expected = f"viri-{role}"
    if metadata is None or metadata.network != expected:
        raise CheckpointError(
            f"{path} holds {metadata.network if metadata else 'weights without a description'}; the {role} tower is "
            f"a checkpoint of {expected}",
            hint=f"make one with `edgefer train {expected}`",
        )
    tower = registry.create(expected, metadata.options, labels=metadata.labels)
    load_weights(tower.module, path)
    return tower


def _check_shared(network: LoadedNetwork, tower: LoadedNetwork, role: str, path: Path) -> None:
    # A width can be written in several ways.
    differing = [] if float(tower.options["width"]) == float(network.options["width"]) else ["width"]
    differing += [name for name in _SHARED[role] if tower.options[name] != network.options[name]]
    if differing:
        found, expected = (
            " and ".join(f"{name}={each.options[name]}" for name in differing) for each in (tower, network)
        )
        raise CheckpointError(
            f"the {role} tower in {path} does not fit the fusion's: it was trained with {found}, {network.name} has "
            f"{expected}",
            hint=f"use the same {' and '.join(differing)} for the towers and for what fuses them",
        )


def _left_out(network: LoadedNetwork, tower: LoadedNetwork, role: str) -> str:
    kind, wanted = tower.options["gate"], network.options["gate"]
    begins = "" if wanted == "none" else " and begins with fresh weights"
    return (
        f"The gate of the {role} tower (gate={kind}) is left out: it {_LOOKS_AT[kind]}, that of {network.name} "
        f"(gate={wanted}) {_LOOKS_AT[wanted]}{begins}."
    )


def _renamed(state: dict[str, torch.Tensor], places: dict[str, str], role: str) -> dict[str, torch.Tensor]:
    """Those weights of a tower that a fusion has, under its names."""
    return {
        place.format(role=role) + name[len(prefix) :]: tensor
        for name, tensor in state.items()
        for prefix, place in places.items()
        if name.startswith(prefix)
    }
