"""Visible, infrared and fused networks of Naseem et al. 2025: ResNet-18 with a gate on the pooled vector.

"Facial expression recognition using visible and IR by early fusion of deep learning with attention mechanism", PeerJ
Computer Science 11:e2676, DOI 10.7717/peerj-cs.2676. The fusion is of feature vectors, not of pixels. The published
networks end in a softmax and are trained with cross-entropy on its result; these give logits, and `loss` says which of
the two a training should use.
"""

from __future__ import annotations

import torch
from torch import nn

from edgefer.bundle.manifest import InputSpec
from edgefer_export.networks.attention import GatedFusion, GatedPool
from edgefer_export.networks.blocks.choose import residual_option, residual_trunk
from edgefer_export.networks.family import (
    COMMON_OPTIONS,
    Band,
    ImageNetNorm,
    NetworkFamily,
    image_input,
    present_input,
)
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.placeholders import PLACEHOLDER, PRESENT, FeaturePlaceholder, learns
from edgefer_export.networks.pooling import MeanFusion, MeanPool
from edgefer_export.networks.resnet import ResNetTrunk, scaled

_HIDDEN = 256
_PAPER = "Naseem et al. 2025, PeerJ Computer Science 11:e2676, DOI 10.7717/peerj-cs.2676"

_LOSS = Option(
    "loss",
    "ce_on_logits",
    "what a training minimises: cross-entropy on the logits, or on the softmax as the paper ran it",
    choices=("ce_on_logits", "ce_on_softmax"),
)
_INFRARED_CHANNELS = Option(
    "infrared_channels", "3", "channels of the infrared input: 1 grey, or 3 (grey replicated)", choices=("1", "3")
)


def _gate(default: str) -> Option:
    meaning = "what the gate looks at: the pooled vector (linear) or its square; none: there is no gate"
    return Option("gate", default, meaning, choices=("linear", "square", "none"))


class SingleModality(nn.Module):
    """One tower, its gate and a two-layer head: image (N, C, H, W) to logits (N, classes)."""

    def __init__(self, trunk: ResNetTrunk, gate: nn.Module, head: nn.Module, *, norm: nn.Module, loss: str) -> None:
        super().__init__()
        self.norm = norm
        self.trunk = trunk
        self.gate = gate
        self.head = head
        self.loss = loss

    def classify(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.gate(self.trunk(self.norm(image))))
        return logits


class VisibleNetwork(SingleModality):
    """`viri-visible`."""

    def forward(self, visible: torch.Tensor) -> torch.Tensor:
        return self.classify(visible)


class InfraredNetwork(SingleModality):
    """`viri-infrared`."""

    def forward(self, infrared: torch.Tensor) -> torch.Tensor:
        return self.classify(infrared)


class FusionNetwork(nn.Module):
    """`viri-fusion`: two towers, their gated vectors side by side or interleaved, one head."""

    def __init__(
        self,
        visible: ResNetTrunk,
        infrared: ResNetTrunk,
        fusion: nn.Module,
        head: nn.Module,
        *,
        norms: tuple[nn.Module, nn.Module],
        loss: str,
        placeholder: FeaturePlaceholder | None = None,
    ) -> None:
        super().__init__()
        self.norm_visible, self.norm_infrared = norms
        self.visible = visible
        self.infrared = infrared
        self.fusion = fusion
        self.placeholder = placeholder
        self.head = head
        self.loss = loss

    def forward(
        self, visible: torch.Tensor, infrared: torch.Tensor, present: torch.Tensor | None = None
    ) -> torch.Tensor:
        visible = self.visible(self.norm_visible(visible))
        infrared = self.infrared(self.norm_infrared(infrared))
        fused: torch.Tensor = self.fusion(visible, infrared, present)
        if self.placeholder is not None and present is not None:
            fused = self.placeholder(fused, present)
        logits: torch.Tensor = self.head(fused)
        return logits


def _build_visible(settings: Settings) -> nn.Module:
    trunk = residual_trunk(settings, 3)
    hidden = scaled(_HIDDEN, settings.number("width"))
    head = nn.Sequential(
        nn.Dropout(0.4),
        nn.Linear(trunk.out_channels, hidden),
        nn.Dropout(0.4),
        nn.Linear(hidden, settings.integer("classes")),
    )
    return VisibleNetwork(trunk, _pool(settings, trunk), head, norm=_norm(settings, 3), loss=settings.text("loss"))


def _build_infrared(settings: Settings) -> nn.Module:
    channels = settings.integer("infrared_channels")
    trunk = residual_trunk(settings, channels)
    hidden = scaled(_HIDDEN, settings.number("width"))
    head = nn.Sequential(
        nn.Dropout(0.7),
        nn.Linear(trunk.out_channels, hidden),
        nn.ReLU(),
        nn.BatchNorm1d(hidden),
        nn.Dropout(0.8),
        nn.Linear(hidden, settings.integer("classes")),
    )
    norm = _norm(settings, channels)
    return InfraredNetwork(trunk, _pool(settings, trunk), head, norm=norm, loss=settings.text("loss"))


def _build_fusion(settings: Settings) -> nn.Module:
    channels = settings.integer("infrared_channels")
    visible, infrared = residual_trunk(settings, 3), residual_trunk(settings, channels)
    fusion = _fusion(settings, visible.out_channels)
    hidden = scaled(_HIDDEN, settings.number("width"))
    head = nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(2 * visible.out_channels, hidden),
        nn.ReLU(),
        nn.BatchNorm1d(hidden),
        nn.Dropout(0.2),
        nn.Linear(hidden, settings.integer("classes")),
        nn.Dropout(0.2),
    )
    norms = (_norm(settings, 3), _norm(settings, channels))
    placeholder = None
    if learns(settings):
        placeholder = FeaturePlaceholder(visible.out_channels, interleave=_interleaves(settings))
    return FusionNetwork(
        visible, infrared, fusion, head, norms=norms, loss=settings.text("loss"), placeholder=placeholder
    )


def _pool(settings: Settings, trunk: ResNetTrunk) -> nn.Module:
    if settings.text("gate") == "none":
        return MeanPool()
    return GatedPool(trunk.out_channels, square=_square(settings))


def _fusion(settings: Settings, channels: int) -> nn.Module:
    interleave = _interleaves(settings)
    if settings.text("gate") == "none":
        return MeanFusion(interleave=interleave)
    return GatedFusion(channels, square=_square(settings), interleave=interleave)


def _interleaves(settings: Settings) -> bool:
    return settings.text("fusion") == "interleave"


def _square(settings: Settings) -> bool:
    return settings.text("gate") == "square"


def _norm(settings: Settings, channels: int) -> nn.Module:
    return ImageNetNorm(channels) if settings.text("norm") == "imagenet" else nn.Identity()


def _visible_input(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    return (image_input("visible", "visible", 3, settings.integer("size")),)


def _infrared_input(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    channels = settings.integer("infrared_channels")
    return (image_input("infrared", "infrared", channels, settings.integer("size"), band),)


def _fusion_inputs(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    mask = (present_input(),) if settings.flag("present") else ()
    return (*_visible_input(settings, band), *_infrared_input(settings, band), *mask)


FAMILIES = (
    NetworkFamily(
        name="viri-visible",
        summary="ResNet-18 and a feature gate on the visible image",
        paper=_PAPER,
        graph_role="visible",
        options=(*COMMON_OPTIONS, residual_option(), _gate("linear"), _LOSS),
        build=_build_visible,
        inputs=_visible_input,
    ),
    NetworkFamily(
        name="viri-infrared",
        summary="ResNet-18 and a feature gate on the infrared image",
        paper=_PAPER,
        graph_role="infrared",
        options=(*COMMON_OPTIONS, residual_option(), _gate("square"), _INFRARED_CHANNELS, _LOSS),
        build=_build_infrared,
        inputs=_infrared_input,
    ),
    NetworkFamily(
        name="viri-fusion",
        summary="two ResNet-18 towers, visible and infrared, fused by their gated feature vectors",
        paper=_PAPER,
        graph_role="fused",
        options=(
            *COMMON_OPTIONS,
            residual_option(),
            _gate("square"),
            Option("fusion", "interleave", "order of the fused vector", choices=("interleave", "concat")),
            _INFRARED_CHANNELS,
            PRESENT,
            PLACEHOLDER,
            _LOSS,
        ),
        build=_build_fusion,
        inputs=_fusion_inputs,
    ),
)
