"""Trainings in stages: which parts of a network a stage trains, how fast, and which it leaves exactly as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from edgefer.errors import UsageError
from edgefer_export.networks.options import did_you_mean


@runtime_checkable
class Staged(Protocol):
    """A network that is trained in one of several ways; the first of `stages` is what it does unless asked."""

    stages: tuple[str, ...]

    def stage_parameters(self, stage: str) -> Mapping[str, float]:
        """The factor on the learning rate for each submodule that differs from the rest, by its name.

        Below 1 it learns more slowly; with 0 it is frozen: its weights, and the running statistics and dropouts that
        it has in evaluation mode. Submodules inside one another are not named together.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One stage of a training of `module`; `factors` are those of `Staged.stage_parameters`."""

    module: nn.Module
    name: str | None
    factors: Mapping[str, float]

    def apply(self) -> None:
        """Require gradients of what is trained, and of nothing that is frozen."""
        for parameter, factor in self._parameters():
            parameter.requires_grad_(factor > 0)

    def train(self) -> None:
        """Training mode, but evaluation mode for what is frozen. In place of `module.train()`, before every epoch."""
        self.module.train()
        for name, factor in self.factors.items():
            if factor == 0:
                self.module.get_submodule(name).eval()

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """What an optimiser updates, by its factor on the learning rate; each parameter once."""
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter, factor in self._parameters():
            if factor > 0:
                groups.setdefault(factor, []).append(parameter)
        return list(groups.items())

    def _parameters(self) -> Iterator[tuple[nn.Parameter, float]]:
        factors = {
            id(parameter): factor
            for name, factor in self.factors.items()
            for parameter in self.module.get_submodule(name).parameters()
        }
        for parameter in self.module.parameters():
            yield parameter, factors.get(id(parameter), 1.0)


def stage_of(module: nn.Module, name: str | None, network: str) -> Stage:
    """The stage called `name` of a network, or its first one; a network without stages trains all of itself.

    Args:
        network: what the network is called, for messages.

    Raises:
        UsageError: the network has no such stage, or none at all.
    """
    if not isinstance(module, Staged):
        if name is not None:
            raise UsageError(f"{network} is trained in one stage and has no stage {name!r}", hint="leave the stage out")
        return Stage(module, None, {})
    stages = module.stages
    if name is not None and name not in stages:
        raise UsageError(
            f"{network} has no stage {name!r}; it has {', '.join(stages)}",
            hint=did_you_mean(name, stages) or f"without a stage it is {stages[0]}",
        )
    chosen = name or stages[0]
    return Stage(module, chosen, module.stage_parameters(chosen))
