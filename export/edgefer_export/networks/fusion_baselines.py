"""What fusion attention is compared with: two trunks fused late, early and jointly.

Tran 2023 prints results under these names and does not say what they are. Here, as the words are usually taken: late
averages the class probabilities of two classifiers; early trains a classifier on the features of two frozen trunks side
by side; joint is the same network, trained from end to end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from edgefer_export.networks.backbones import ATTENTION_OPTION, Trunk, trunk_pair, visible_input, visible_norm
from edgefer_export.networks.family import NetworkFamily, common_options
from edgefer_export.networks.fusion_attention import PAIR_OPTION, PAPER, classifier
from edgefer_export.networks.options import Settings


class LateFusion(nn.Module):
    """`late-fusion`: visible (N, 3, H, W) to the logarithm of the mean probability (N, classes).

    That is a logit as good as any: its softmax is the mean probability itself.
    """

    loss = "ce_on_logits"

    def __init__(self, trunks: tuple[Trunk, Trunk], classes: int, *, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.first, self.second = trunks
        self.first_fc = nn.Linear(self.first.out_channels, classes)
        self.second_fc = nn.Linear(self.second.out_channels, classes)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        image = self.norm(visible)
        first = self.first_fc(self.first(image).mean(dim=(2, 3)))
        second = self.second_fc(self.second(image).mean(dim=(2, 3)))
        return log_mean_probability(first, second)


class ConcatFusion(nn.Module):
    """`early-fusion` and `joint-fusion`: visible (N, 3, H, W) to logits (N, classes).

    Args:
        frozen: whether a training leaves the trunks as they are.
    """

    loss = "ce_on_logits"

    def __init__(self, trunks: tuple[Trunk, Trunk], head: nn.Module, *, norm: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.norm = norm
        self.first, self.second = trunks
        self.head = head
        self.stages = ("head",) if frozen else ("end-to-end",)

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        image = self.norm(visible)
        pooled = (self.first(image).mean(dim=(2, 3)), self.second(image).mean(dim=(2, 3)))
        logits: torch.Tensor = self.head(torch.cat(pooled, dim=1))
        return logits

    def stage_parameters(self, stage: str) -> Mapping[str, float]:
        factor = {"head": 0.0, "end-to-end": 1.0}[stage]
        return {"first": factor, "second": factor}


def log_mean_probability(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """log((softmax(first) + softmax(second)) / 2), rows of logits (N, C) to (N, C).

    Finite for any finite logits: no probability is formed that could become 0. With a and b the two logarithms,
    log(exp a + exp b) = max(a, b) + log(1 + exp(-|a - b|)). Half precision is computed and answered in float32.
    """
    if first.dtype in (torch.float16, torch.bfloat16):
        # As a mixed-precision training hands them over: their logarithms would keep two or three digits.
        first, second = first.float(), second.float()
    a, b = _log_softmax(first), _log_softmax(second)
    return torch.maximum(a, b) + F.softplus(-(a - b).abs()) - math.log(2)


def _log_softmax(logits: torch.Tensor) -> torch.Tensor:
    # Written out, for runtimes that would take the logarithm of a softmax.
    shifted = logits - logits.amax(dim=1, keepdim=True)
    return shifted - shifted.exp().sum(dim=1, keepdim=True).log()


def _build_late(settings: Settings) -> nn.Module:
    return LateFusion(trunk_pair(settings), settings.integer("classes"), norm=visible_norm(settings))


def _build_early(settings: Settings) -> nn.Module:
    return _concatenated(settings, frozen=True)


def _build_joint(settings: Settings) -> nn.Module:
    return _concatenated(settings, frozen=False)


def _concatenated(settings: Settings, *, frozen: bool) -> nn.Module:
    trunks = trunk_pair(settings)
    head = classifier(sum(trunk.out_channels for trunk in trunks), settings)
    return ConcatFusion(trunks, head, norm=visible_norm(settings), frozen=frozen)


FAMILIES = tuple(
    NetworkFamily(
        name=name,
        summary=summary,
        paper=PAPER,
        graph_role="visible",
        options=(*common_options("raf-db", norm="imagenet"), PAIR_OPTION, ATTENTION_OPTION),
        build=build,
        inputs=visible_input,
        label_sets=("raf-db",),
    )
    for name, summary, build in (
        ("late-fusion", "two trunks with classifiers of their own, the mean of their probabilities", _build_late),
        ("early-fusion", "a classifier on the pooled features of two frozen trunks", _build_early),
        ("joint-fusion", "a classifier on the pooled features of two trunks, trained with them", _build_joint),
    )
)
