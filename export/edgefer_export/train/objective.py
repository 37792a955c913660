"""What a training minimises: cross-entropy on the logits, or what the network itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch

Tensors = Mapping[str, torch.Tensor]
Losses = dict[str, torch.Tensor]


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
