"""The steps of a training: forward, loss, backward, update; and counting what is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgefer.errors import TrainingError
from edgefer_export.networks.forward import LOGITS, forward
from edgefer_export.train.augment import Augment
from edgefer_export.train.cache import SampleCache, Tensors
from edgefer_export.train.objective import Objective
from edgefer_export.train.optimisers import make_optimiser, set_rate
from edgefer_export.train.rates import Moment, make_rates
from edgefer_export.train.spec import Arithmetic, TrainSpec
from edgefer_export.train.stages import stage_of

EVALUATION_BATCH = 256
"""Samples that are evaluated together at most."""

EVALUATION_VALUES = EVALUATION_BATCH * 6 * 64 * 64
"""Values of all their inputs together at most: two images of 64x64 in colour for each. A layer of 64 channels at the
size of the image, as VGG begins with, then takes about 0.5 GB."""


class Trainer:
    """A network, its optimiser, its schedule and its objective.

    Args:
        module: trained in place, in channels-last memory.
        spec: learning rate, weight decay and the rest.
        loss: `ce_on_logits` or `ce_on_softmax`, see `Objective`.
        arithmetic: of the forward and backward pass.
        inputs: names of the network's inputs; see `Objective`.
    """

    def __init__(
        self,
        module: nn.Module,
        spec: TrainSpec,
        loss: str,
        arithmetic: Literal["fp32", "bf16"],
        inputs: tuple[str, ...] = (),
    ) -> None:
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._highest = spec.learning_rate
        self.objective = Objective(
            module,
            inputs,
            on_softmax=loss == "ce_on_softmax",
            smoothing=spec.label_smoothing,
            half=arithmetic == "bf16",
        )
        if spec.dropout is not None:
            for layer in module.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = spec.dropout
        self.rates = make_rates(spec.schedule)
        self._stage = stage_of(module, spec.stage, spec.network)
        self._stage.apply()
        self.optimiser = make_optimiser(
            spec.optimiser,
            self._stage,
            learning_rate=spec.learning_rate,
            weight_decay=spec.weight_decay,
            head_rate=spec.head_rate,
        )

    def train(self) -> None:
        """Training mode for what is trained, evaluation mode for what is frozen."""
        self._stage.train()

    def rate(self, moment: Moment) -> float:
        """The learning rate at this moment."""
        return self._highest * self.rates.share(moment)

    def step(self, tensors: Tensors, labels: torch.Tensor, moment: Moment) -> dict[str, float]:
        """One update; the terms of the loss before it.

        Raises:
            TrainingError: a term is not finite; the weights are those before the step.
        """
        rate = self.rate(moment)
        set_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.objective.terms(tensors, labels)
        loss = torch.stack([term.float() for term in terms.values()]).sum() if len(terms) > 1 else _only(terms)
        values = {name: float(term.detach()) for name, term in terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                what = "the loss" if len(values) == 1 else f"the loss '{name}'"
                raise TrainingError(f"{what} became {value} at a learning rate of {rate:.2g}")
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return values

    def logits(self, cache: SampleCache) -> torch.Tensor:
        """Logits (N, C) float32 of every sample, in order, in evaluation mode and FP32; the mode is put back."""
        batches = in_order(cache)
        with evaluation(self.module), torch.inference_mode():
            return torch.cat(
                [
                    forward(self.module, self.objective.inputs(tensors))[LOGITS].float()
                    for tensors, _ in cache.batches(batches)
                ]
            )

    def correct(self, cache: SampleCache) -> int:
        """How many samples the network gets right.

        Raises:
            TrainingError: logits are not finite.
        """
        logits = self.logits(cache)
        if not torch.isfinite(logits).all():
            raise TrainingError("the network answers the validation with logits that are not finite")
        return int((logits.argmax(1) == cache.labels).sum())

    def loss(self, cache: SampleCache) -> float:
        """The objective over every sample in evaluation mode: the mean over batches, weighted by their size.

        Raises:
            TrainingError: it is not finite.
        """
        total = 0.0
        with evaluation(self.module), torch.inference_mode():
            for tensors, labels in cache.batches(in_order(cache)):
                total += len(labels) * float(sum(self.objective.terms(tensors, labels).values()))
        if not math.isfinite(total):
            raise TrainingError(f"the loss on the validation became {total}")
        return total / len(cache)


def epoch(
    trainer: Trainer,
    cache: SampleCache,
    augment: Augment,
    order: list[npt.NDArray[np.int64]],
    moment: Callable[[], Moment],
) -> Iterator[dict[str, float]]:
    """Train on the batches in `order`, yielding the terms of the loss of each; ends early once progress is 1."""
    trainer.train()
    for tensors, labels in cache.batches(order):
        at = moment()
        if at.progress >= 1.0:
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


def in_order(cache: SampleCache) -> list[npt.NDArray[np.int64]]:
    """Every sample once, in order, in as many batches as the limits above take: fewer samples of larger images."""
    indices = np.arange(len(cache))
    size = max(1, min(EVALUATION_BATCH, EVALUATION_VALUES // cache.values))
    return [indices[at : at + size] for at in range(0, len(indices), size)]


def _only(terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return next(iter(terms.values()))
