"""Checkpoints: reading weights from whatever a training left behind, and writing them with what they belong to.

A checkpoint is untrusted: it is always read with `weights_only=True`, which refuses to run code.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from edgefer.atomic import write_bytes
from edgefer.errors import CheckpointError
from edgefer_export.networks.registry import LoadedNetwork

_FORMAT = "edgefer-checkpoint"
_VERSION = 1
_SHOWN = 10
_DEPTH = 3
# Before a bare name of one nested dict is looked for: what trainers call the weights.
_USUAL_KEYS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")
# What torchvision calls the layers that a trunk lacks and those that see the image, and what trunks here have besides.
_CLASSIFIERS = ("fc.", "classifier.")
_FIRST_LAYERS = ("conv1.weight", "features.0.weight")
_ATTENTION = re.compile(r"\.attention\.|^(between|after)\d\.")


@runtime_checkable
class AdaptsCheckpoints(Protocol):
    """A network whose published checkpoints have other names than its own, or weights that it does not use."""

    def adapted(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
        """The weights that the network has, by its names, and sentences about what was changed or left out."""
        ...


@runtime_checkable
class StartsFromClassifier(Protocol):
    """A network that is no trunk and takes most layers of one of torchvision's classifiers."""

    @property
    def fresh(self) -> tuple[str, ...]:
        """How the names of the weights begin that are not taken from it."""
        ...

    def from_classifier(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the network takes of a classifier's weights, by its own names."""
        ...


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a checkpoint written by edgefer says about itself: enough to make its network again.

    `notes` holds plain values about the training, such as its accuracy and seed.
    """

    network: str
    options: dict[str, str]
    labels: tuple[str, ...]
    band: str | None = None
    notes: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointReport:
    """What was loaded: number of tensors, SHA-256 (hex) of the file, the metadata where the file has any, and notes on
    what was renamed or left out."""

    path: Path
    tensors: int
    sha256: str
    metadata: CheckpointMetadata | None
    notes: tuple[str, ...] = ()


def metadata_of(network: LoadedNetwork, notes: Mapping[str, str | int | float] | None = None) -> CheckpointMetadata:
    """The metadata that belongs into a checkpoint of `network`."""
    bands = [spec.image.band for spec in network.inputs if spec.image is not None and spec.role == "infrared"]
    band = bands[0] if bands else None
    return CheckpointMetadata(network.name, dict(network.options), network.labels, band, dict(notes or {}))


def save_checkpoint(path: str | os.PathLike[str], module: nn.Module, metadata: CheckpointMetadata) -> Path:
    """Write the weights of `module` and `metadata` to `path`, atomically, in types that `weights_only` reads back.

    Raises:
        OSError: the folder does not exist or is not writable.
    """
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "network": metadata.network,
        "options": dict(metadata.options),
        "labels": list(metadata.labels),
        "band": metadata.band,
        "notes": dict(metadata.notes),
        "state_dict": {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return write_bytes(path, buffer.getvalue())


def read_metadata(path: str | os.PathLike[str]) -> CheckpointMetadata | None:
    """What the checkpoint says about itself; None for one that edgefer did not write.

    Raises:
        CheckpointError: the file cannot be read.
    """
    content, _ = _read(Path(path))
    return _metadata(content, Path(path))


def load_weights(module: nn.Module, path: str | os.PathLike[str]) -> CheckpointReport:
    """Load the weights in `path` into `module`, by name; all of them or none.

    Takes a bare state dict, one under `state_dict`, `model` or any single key, keys with a `module.` prefix, and
    tensors that were saved on a GPU. A network that is `AdaptsCheckpoints` first brings them to its own names.

    Raises:
        CheckpointError: the file is missing, not a checkpoint or would run code; keys are missing or unexpected, or
            shapes differ (the first ten are listed), or weights are not finite, or not real numbers.
    """
    path = Path(path)
    content, digest = _read(path)
    metadata = _metadata(content, path)
    state = _unprefixed(_state_dict(content, path))
    notes: tuple[str, ...] = ()
    if isinstance(module, AdaptsCheckpoints):
        state, notes = module.adapted(state)
    problems = _differences(module.state_dict(), state)
    if problems:
        hint = "check that the network and its options are those of the training"
        if metadata is not None:
            options = ",".join(f"{key}={value}" for key, value in metadata.options.items())
            hint = f"the file was written for {metadata.network} with {options or 'no options'}"
        raise CheckpointError(f"{path} does not fit the network", details="\n".join(problems), hint=hint)
    _refuse_other_kinds(module.state_dict(), state, path)
    _refuse_non_finite(state, path)
    # Older checkpoints lack the counters of batch norm, which inference never reads.
    module.load_state_dict(state, strict=False)
    return CheckpointReport(path, len(state), digest, metadata, notes)


def load_trunk(trunk: nn.Module, path: str | os.PathLike[str]) -> CheckpointReport:
    """Initialise a `ResNetTrunk` or a `VggTrunk` from a classifier with torchvision's names, whose fully connected
    layers are left out; or a network that is `StartsFromClassifier`, which says what it takes.

    A first convolution for another number of channels is made from the checkpoint's: a grey one by the sum over the
    colours, further channels by their mean. Attention keeps its fresh weights.

    Raises:
        CheckpointError: as `load_weights`.
    """
    path = Path(path)
    content, digest = _read(path)
    state = _unprefixed(_state_dict(content, path))
    expected = trunk.state_dict()
    what, hint = "trunk", "expected torchvision's names, and a ResNet or VGG (without batch norm) of the same depth"
    if isinstance(trunk, StartsFromClassifier):
        what, hint = "network", "expected torchvision's classifier of that kind; its layers fit at width=1 and size=224"
        _refuse_other_kinds(expected, state, path)
        # What is left out counts, too: torchvision leaves no numbers there in a file made for other pixels.
        _refuse_non_finite(state, path)
        state = trunk.from_classifier(state)
        wanted = {name: tensor for name, tensor in expected.items() if not name.startswith(trunk.fresh)}
    else:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIERS)}
        for first in _FIRST_LAYERS:
            if first in state and first in expected:
                state[first] = _recoloured(state[first], expected[first].shape)
        # Attention has no counterpart in a plain classifier.
        wanted = {name: tensor for name, tensor in expected.items() if not _ATTENTION.search(name) or name in state}
    problems = _differences(wanted, state)
    if problems:
        raise CheckpointError(f"{path} does not fit the {what}", details="\n".join(problems), hint=hint)
    _refuse_other_kinds(wanted, state, path)
    _refuse_non_finite(state, path)
    trunk.load_state_dict(state, strict=False)
    return CheckpointReport(path, len(state), digest, _metadata(content, path))


def _recoloured(kernel: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    if kernel.dim() != 4 or kernel.shape[1] != 3 or shape[1] == 3:
        return kernel
    if shape[1] == 1:
        # A grey image in three equal channels gives the same.
        return kernel.sum(dim=1, keepdim=True)
    further = kernel.mean(dim=1, keepdim=True).expand(-1, max(0, shape[1] - 3), -1, -1)
    return torch.cat((kernel, further), dim=1)


def _read(path: Path) -> tuple[Any, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}", hint="--weights takes the file of a training"
        ) from error
    try:
        with warnings.catch_warnings():
            # About pickle protocols; whether the file could be read is all that the caller needs to know.
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch and pickle raise for a file that is none
        raise CheckpointError(
            f"{path} is not a checkpoint that can be read safely",
            details=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="save the weights alone: torch.save(model.state_dict(), path); a whole pickled model is refused",
        ) from error
    return content, hashlib.sha256(data).hexdigest()


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items())
    )


def _state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    for _ in range(_DEPTH):
        if _is_state_dict(content):
            return dict(content)
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in _USUAL_KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            nested = {key: value for key, value in content.items() if isinstance(value, Mapping) and value}
            tensors = {key: value for key, value in nested.items() if _is_state_dict(value)} or nested
            if len(tensors) > 1:
                raise CheckpointError(
                    f"{path} holds several sets of weights: {', '.join(map(str, tensors))}",
                    hint="save the one that is meant under the key state_dict",
                )
            inner = next(iter(tensors.values()), None)
        content = inner
    raise CheckpointError(
        f"{path} holds no weights: expected a state dict, bare or under a key, found {type(content).__name__}",
        hint="save them with torch.save(model.state_dict(), path)",
    )


def _unprefixed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without what DataParallel and torch.compile put before every name."""
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in state):
                state = {name[len(prefix) :]: tensor for name, tensor in state.items()}
                changed = True
    return state


def _differences(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    missing = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} (expected {tuple(expected[name].shape)}, found {tuple(found[name].shape)})"
        for name in expected
        if name in found and expected[name].shape != found[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [line for kind, offending in kinds.items() for line in _listed(kind, offending)]


def _listed(kind: str, offending: list[str]) -> list[str]:
    if not offending:
        return []
    further = f", and {len(offending) - _SHOWN} more" if len(offending) > _SHOWN else ""
    return [f"{len(offending)} {kind}: {', '.join(offending[:_SHOWN])}{further}"]


def _refuse_other_kinds(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], path: Path) -> None:
    # Copying would round fractions away, drop imaginary parts, or fail in the middle.
    bad = [
        f"{name} ({'without values' if tensor.is_meta else f'{tensor.dtype}, {tensor.layout}'.replace('torch.', '')})"
        for name, tensor in state.items()
        if tensor.is_meta
        or tensor.layout != torch.strided
        or tensor.is_quantized
        or (name in expected and expected[name].is_floating_point() and not tensor.is_floating_point())
    ]
    if bad:
        raise CheckpointError(
            f"{path} holds weights that are not ordinary floating-point tensors",
            details="\n".join(_listed("of another kind", bad)),
            hint="save the weights of the network in float32: torch.save(model.float().state_dict(), path)",
        )


def _refuse_non_finite(state: Mapping[str, torch.Tensor], path: Path) -> None:
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]
    if bad:
        raise CheckpointError(
            f"{path} holds weights that are not finite",
            details="\n".join(_listed("with NaN or infinity", bad)),
            hint="the training diverged; take an earlier checkpoint",
        )


def _metadata(content: Any, path: Path) -> CheckpointMetadata | None:
    if not isinstance(content, Mapping) or content.get("format") != _FORMAT:
        return None
    version = content.get("version")
    if version != _VERSION:
        raise CheckpointError(
            f"{path} is a checkpoint of version {version}, expected {_VERSION}",
            hint="a newer edgefer wrote it; upgrade",
        )
    network, options, labels = content.get("network"), content.get("options"), content.get("labels")
    band, notes = content.get("band"), content.get("notes", {})
    whole = (
        isinstance(network, str)
        and isinstance(options, dict)
        and isinstance(labels, list)
        and all(isinstance(text, str) for text in (*options, *options.values(), *labels))
        and (band is None or isinstance(band, str))
        and isinstance(notes, dict)
    )
    if not whole:
        raise CheckpointError(f"{path} has a damaged description of its network", hint="train or save it again")
    return CheckpointMetadata(str(network), dict(options or {}), tuple(labels or ()), band, dict(notes))
