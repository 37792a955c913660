"""The optimisers: torch's own AdamW, Adam and SGD, written as text (`sgd:0.9:nesterov`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.options import did_you_mean
from edgefer_export.train.stages import Stage

GRAMMAR = "adamw, adam, adam:amsgrad, sgd:MOMENTUM, sgd:MOMENTUM:nesterov"
_NAMES = ("adamw", "adam", "sgd")


@dataclass(frozen=True)
class Choice:
    """An optimiser by name and its switches."""

    name: str
    momentum: float = 0.0
    nesterov: bool = False
    amsgrad: bool = False


def parse_optimiser(text: str) -> Choice:
    """The optimiser that `text` stands for.

    Raises:
        UsageError: the name is unknown, or what follows it is not what it takes.
    """
    name, *words = text.split(":")
    if name not in _NAMES:
        hint = did_you_mean(name, _NAMES) or "SGD takes its momentum: sgd:0.9"
        raise UsageError(f"{name!r} is no optimiser; expected one of {GRAMMAR}", hint=hint)
    if name == "adamw" and not words:
        return Choice(name)
    if name == "adam" and words in ([], ["amsgrad"]):
        return Choice(name, amsgrad=bool(words))
    if name == "sgd" and words and words[1:] in ([], ["nesterov"]):
        momentum = _momentum(words[0])
        if momentum is not None and not (words[1:] and momentum == 0):
            return Choice(name, momentum=momentum, nesterov=bool(words[1:]))
    raise UsageError(f"{text!r} is no optimiser; expected one of {GRAMMAR}", hint="the momentum is 0 to below 1")


def make_optimiser(
    text: str,
    stage: Stage,
    *,
    learning_rate: float,
    weight_decay: float,
    head_rate: float = 1.0,
) -> torch.optim.Optimizer:
    """The optimiser of what a stage trains.

    AdamW decays weights of two or more dimensions alone; Adam and SGD decay every parameter, as papers use them.

    Args:
        text: see `parse_optimiser`.
        stage: whose groups it updates; a group keeps its `factor` on the learning rate.
        head_rate: factor on the learning rate of the last layer, found by `last_layer`.

    Raises:
        UsageError: `text` is not an optimiser, or nothing is left to train.
    """
    choice = parse_optimiser(text)
    parts = stage.groups()
    if not parts:
        raise UsageError("every parameter is frozen: there is nothing to train", hint="name another stage")
    if head_rate != 1.0:
        head = {id(parameter) for parameter in last_layer(stage.module).parameters()}
        parts = [
            (factor * head_rate if inside else factor, [p for p in part if (id(p) in head) == inside])
            for factor, part in parts
            for inside in (False, True)
        ]
    parameters = [
        {"params": part, "weight_decay": decay, "factor": factor}
        for factor, both in parts
        for part, decay in _decayed(choice, both, weight_decay)
        if part
    ]
    if choice.name == "adamw":
        return torch.optim.AdamW(parameters, lr=learning_rate, fused=True)
    if choice.name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, amsgrad=choice.amsgrad)
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=choice.momentum, nesterov=choice.nesterov)


def last_layer(module: nn.Module) -> nn.Module:
    """The last fully connected layer in the order of registration: what is new when a trained network gets other
    classes.

    Raises:
        UsageError: the network has none.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise UsageError(
            "head_rate is for the last fully connected layer, and this network has none", hint="leave head_rate at 1"
        )
    return layers[-1]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, times the group's own factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def _decayed(
    choice: Choice, parameters: list[nn.Parameter], weight_decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """The parameters as those that decay and those that do not."""
    if choice.name != "adamw":
        return [(parameters, weight_decay)]
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [(matrices, weight_decay), (vectors, 0.0)]


def _momentum(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value < 1 else None
