"""The state of an unfinished training in a file beside its checkpoint: what it takes to go on as if nothing had been.

The file is written in one rename after every epoch and read with `weights_only=True`, which runs no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from edgefer.atomic import write_bytes
from edgefer.errors import CheckpointError
from edgefer_export.train.result import EpochFigure
from edgefer_export.train.spec import TrainSpec

_FORMAT = "edgefer-training"
_VERSION = 1
_PARTS = ("weights", "optimiser", "torch_generator", "augmentation_generator")

# Files that decide the weights by what is in them, wherever they lie.
_FILES = ("weights", "towers", "backbones", "trunk", "saliency")

# Where to write, and how long: they may change. What stands for the rest of these is described in `identity`.
_FREE = frozenset(
    (
        *_FILES,
        *("output", "log", "tensorboard", "resume", "minutes", "recipe"),
        *("network", "options", "labels", "band", "layout", "data", "validation", "arithmetic"),
    )
)


@dataclass(frozen=True)
class State:
    """A training after an epoch. `plain` is what JSON can hold, the rest tensors and dictionaries of them."""

    plain: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    optimiser: Mapping[str, Any]
    torch_generator: torch.Tensor
    augmentation_generator: torch.Tensor


def state_path(output: Path) -> Path:
    """Where the state of the training of `output` lies."""
    return output.with_name(f"{output.name}.state")


def identity(spec: TrainSpec, described: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a training this one, by name: the settings that decide its weights, SHA-256 (hex) of the files that it
    starts from, and `described`.

    Raises:
        CheckpointError: such a file cannot be read.
    """
    plain = {each.name: getattr(spec, each.name) for each in fields(spec) if each.name not in _FREE}
    plain |= {name: _content_of(getattr(spec, name)) for name in _FILES}
    # JSON there and back, so that what is compared later has gone the same way.
    told: dict[str, Any] = json.loads(json.dumps({**plain, **described}, default=str))
    return told


def _content_of(files: Path | tuple[Path, ...] | None) -> str | None:
    if files is None:
        return None
    return " and ".join(map(_sha256, files if isinstance(files, tuple) else (files,)))


def _sha256(path: Path) -> str:
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}", hint="name a file of weights"
        ) from error
    return digest.hexdigest()


def write_state(path: Path, identified: Mapping[str, Any], state: State) -> None:
    """Write the state; what was there before stays until the new one is whole.

    Raises:
        OSError: it cannot be written.
    """
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "identity": json.dumps(identified),
        "plain": json.dumps(state.plain),
        **{part: getattr(state, part) for part in _PARTS},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def read_state(path: Path, identified: Mapping[str, Any]) -> State | None:
    """The state in `path`; None where there is none.

    Raises:
        CheckpointError: the file is no state, or that of another training; what differs is named.
    """
    if not path.exists():
        return None
    content = _content(path)
    before = content["identity"]
    differing = [name for name in (*before, *identified) if before.get(name) != identified.get(name)]
    if differing:
        lines = [f"{name} was {before.get(name)}, is {identified.get(name)}" for name in dict.fromkeys(differing)]
        raise CheckpointError(
            f"{path} is the state of another training: {lines[0]}",
            details="\n".join(lines[1:]),
            hint="give what was given then, name another output, or remove the state to begin anew",
        )
    return State(plain=content["plain"], **{part: content[part] for part in _PARTS})


def figures_as_plain(history: list[EpochFigure]) -> list[dict[str, Any]]:
    """The figures as JSON can hold them."""
    return [asdict(figure) for figure in history]


def figures_from_plain(plain: list[dict[str, Any]]) -> list[EpochFigure]:
    """The figures from what `figures_as_plain` made of them."""
    return [EpochFigure(**each) for each in plain]


def _content(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        whole = isinstance(content, dict) and content.get("format") == _FORMAT
        version = content.get("version") if whole else None
        if version == _VERSION and all(part in content for part in _PARTS):
            return {**content, **{name: json.loads(content[name]) for name in ("identity", "plain")}}
    except Exception as error:  # whatever torch and pickle raise for a file that is none
        raise CheckpointError(
            f"{path} is not a state that can be read",
            details=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="remove it to begin anew",
        ) from error
    raise CheckpointError(
        f"{path} is not the state of a training" if not whole else f"{path} is a state of version {version}",
        hint=f"expected {_FORMAT}, version {_VERSION}; remove it to begin anew",
    )
