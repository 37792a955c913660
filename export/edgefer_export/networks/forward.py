"""Calling a network by the names of its inputs, and naming what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from edgefer.errors import ExportError

LOGITS = "logits"


def takes_names(module: nn.Module, names: tuple[str, ...]) -> bool:
    """Whether `forward` has a parameter of the name of every input; otherwise inputs are passed by position."""
    parameters = inspect.signature(module.forward).parameters
    named = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    return set(names) <= named


def forward(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of `module` by name.

    A single tensor is `logits`; of a list or tuple the first is `logits` and the others are `output_1`, ...; a dict
    keeps its names and must have `logits`.

    Raises:
        ExportError: something else is returned.
    """
    named = takes_names(module, tuple(inputs))
    return named_outputs(module(**inputs) if named else module(*inputs.values()))


def named_outputs(returned: Any) -> dict[str, torch.Tensor]:
    """What a network returned, by name, as `forward` describes."""
    if isinstance(returned, torch.Tensor):
        returned = {LOGITS: returned}
    elif isinstance(returned, (list, tuple)):
        returned = {f"output_{index}" if index else LOGITS: value for index, value in enumerate(returned)}
    fits = (
        isinstance(returned, Mapping)
        and LOGITS in returned
        and all(isinstance(value, torch.Tensor) for value in returned.values())
    )
    if not fits:
        found = (
            f"a dict of {', '.join(map(str, returned))}" if isinstance(returned, Mapping) else type(returned).__name__
        )
        raise ExportError(
            f"the network returns {found}, expected a tensor of logits (N, classes)",
            hint="return the logits alone, a tuple that begins with them, or a dict with them under 'logits'",
        )
    return dict(returned)


class ByPosition(nn.Module):
    """A network as a function of tensors by position that returns tensors by position, as exporters want it."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(forward(self.network, dict(zip(self.names, tensors, strict=True))).values())
