"""What a training minimises: cross-entropy on the logits, or what the network itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn import functional as F

from edgefer_export.networks.forward import LOGITS, forward

Tensors = Mapping[str, torch.Tensor]
Losses = dict[str, torch.Tensor]

CROSS_ENTROPY = "cross-entropy"


@runtime_checkable
class OwnObjective(Protocol):
    """A network with an objective of its own, such as one that learns to reconstruct besides to classify."""

    def losses(self, inputs: Tensors, labels: torch.Tensor, targets: Tensors) -> Losses:
        """The terms of the objective, scalars by name, which are added up; each is logged under its name.

        Args:
            inputs: as for `forward`, by name.
            labels: (N,) int64.
            targets: what the augmentation made besides the inputs, by name: `clean` (N, 3, H, W), the face on black;
                `mask` (N, 1, H, W), 1 where the face is; `saliency` (N, 1, H, W). Empty where it made nothing.
        """
        ...


class Objective:
    """The terms that a training adds up.

    A network that is an `OwnObjective` says them itself; of any other it is cross-entropy on the logits, or, with
    `on_softmax`, cross-entropy that takes the probabilities for logits, as Naseem et al. 2025 ran it: it cannot fall
    below log(1 + (C-1)/e).

    Args:
        module: the network.
        inputs: names of its inputs; what else a batch holds are targets. Empty: everything is an input.
        on_softmax: see above.
        smoothing: of the labels in the cross-entropy, 0 to below 1.
        half: compute the network in bfloat16 where torch deems that safe.
    """

    def __init__(
        self, module: nn.Module, inputs: tuple[str, ...], *, on_softmax: bool, smoothing: float, half: bool
    ) -> None:
        self._module, self._inputs = module, frozenset(inputs)
        self._on_softmax, self._smoothing, self._half = on_softmax, smoothing, half
        self._own = module if isinstance(module, OwnObjective) else None

    @property
    def own(self) -> bool:
        """Whether the network says its terms itself."""
        return self._own is not None

    def inputs(self, batch: Tensors) -> dict[str, torch.Tensor]:
        """Those tensors of a batch that the network takes."""
        return {name: tensor for name, tensor in batch.items() if not self._inputs or name in self._inputs}

    def terms(self, batch: Tensors, labels: torch.Tensor) -> Losses:
        """The terms for one batch, scalars by name."""
        inputs = self.inputs(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half):
            if self._own is not None:
                targets = {name: tensor for name, tensor in batch.items() if name not in inputs}
                return self._own.losses(inputs, labels, targets)
            logits = forward(self._module, inputs)[LOGITS].float()
        if self._on_softmax:
            logits = torch.softmax(logits, dim=1)
        return {CROSS_ENTROPY: F.cross_entropy(logits, labels, label_smoothing=self._smoothing)}
