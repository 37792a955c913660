"""The steps of a training: forward, loss, backward, update; and counting what is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from edgefer.errors import TrainingError
from edgefer_export.networks.forward import forward
from edgefer_export.train.augment import Augmentation
from edgefer_export.train.cache import SampleCache, Tensors
from edgefer_export.train.schedule import rate
from edgefer_export.train.spec import Arithmetic, TrainSpec

_EVALUATION_BATCH = 256


class Trainer:
    """A network, its optimiser and its loss.

    Args:
        module: trained in place, in channels-last memory.
        spec: learning rate, weight decay and the rest.
        loss: `ce_on_logits`, or `ce_on_softmax`: cross-entropy that takes the probabilities for logits, as Naseem et
            al. 2025 ran it; it cannot fall below log(1 + (C-1)/e).
        arithmetic: of the forward and backward pass.
    """

    def __init__(self, module: nn.Module, spec: TrainSpec, loss: str, arithmetic: Literal["fp32", "bf16"]) -> None:
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._on_softmax = loss == "ce_on_softmax"
        self._smoothing = spec.label_smoothing
        self._half = arithmetic == "bf16"
        self._highest = spec.learning_rate
        if spec.dropout is not None:
            for layer in module.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = spec.dropout
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=spec.learning_rate, fused=True)

    def step(self, tensors: Tensors, labels: torch.Tensor, progress: float) -> float:
        """One update at this progress (0 to 1) of the training; the loss before it.

        Raises:
            TrainingError: the loss is not finite; the weights are those before the step.
        """
        learning_rate = self._highest * rate(progress)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half):
            logits = forward(self.module, tensors)["logits"].float()
        if self._on_softmax:
            logits = torch.softmax(logits, dim=1)
        loss = F.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss became {value} at a learning rate of {learning_rate:.2g}")
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return value

    def logits(self, cache: SampleCache) -> torch.Tensor:
        """Logits (N, C) float32 of every sample, in order, in evaluation mode and FP32; the mode is put back."""
        indices = np.arange(len(cache))
        batches = [indices[at : at + _EVALUATION_BATCH] for at in range(0, len(indices), _EVALUATION_BATCH)]
        with evaluation(self.module), torch.inference_mode():
            return torch.cat([forward(self.module, tensors)["logits"].float() for tensors, _ in cache.batches(batches)])

    def correct(self, cache: SampleCache) -> int:
        """How many samples the network gets right."""
        return int((self.logits(cache).argmax(1) == cache.labels).sum())


def epoch(
    trainer: Trainer,
    cache: SampleCache,
    augment: Augmentation,
    order: list[npt.NDArray[np.int64]],
    progress: Callable[[], float],
) -> Iterator[float]:
    """Train on the batches in `order`, yielding the loss after each; ends early once progress is 1."""
    trainer.module.train()
    for tensors, labels in cache.batches(order):
        at = progress()
        if at >= 1.0:
            return
        yield trainer.step(augment(tensors), labels, at)


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, the mode of before after it."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def chosen_arithmetic(wish: Arithmetic) -> Literal["fp32", "bf16"]:
    """bf16 where it was asked for, or left open on a processor with matrix units for it; otherwise fp32.

    Without matrix units bf16 is emulated and slower than fp32.
    """
    if wish != "auto":
        return wish
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return "bf16" if has_tiles is not None and has_tiles() else "fp32"
