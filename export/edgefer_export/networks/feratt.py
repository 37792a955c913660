"""FERAtt: attention that says where the face is, features, a corrected image made of both, and a classifier of that.

Marrero Fernandez et al., "FERAtt: Facial Expression Recognition with Attention Net", CVPR Workshops 2019, DOI
10.1109/CVPRW.2019.00112. What the paper draws and what the public code does last are two networks of one family:
`feratt-paper` follows the figure and the code of 2018, `feratt` the code from April 2019 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from edgefer_export.networks.feratt_attention import FILTERS, AttentionNet, Centre, Up
from edgefer_export.networks.feratt_checkpoint import State, adapted
from edgefer_export.networks.feratt_losses import NEEDS_MASK, Reconstruction, gaussian_structure, reconstruction
from edgefer_export.networks.feratt_parts import ChannelAffine, FeatureNet, Threshold, conv_relu
from edgefer_export.networks.preact_resnet import PreActResNet18
from edgefer_export.networks.resnet import MapFactory, scaled

# Of CIFAR-10's RGB images in 0..1. The code of 2018 normalises its input by them. The last form does not, and yet
# undoes it between the corrected image and the classifier, to normalise by mean and deviation 0.5 there.
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_DEVIATION = (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class Form:
    """What the forms of FERAtt differ in.

    Attributes:
        maps: channels of the attention; those of the features where there are several.
        features: channels of the features.
        blocks: residual blocks of the features.
        up, centre: the decoder's, see `AttentionNet`.
        sees_all: whether the correction gets image and attention besides the weighted features, and ends in batch norm
            and ReLU, so that its values are like those of an image in 0..1.
        threshold: magnitude below which a value of the corrected image becomes 0; None leaves all as they are.
        pool: side of the squares whose mean the classifier gets as one pixel.
    """

    maps: int
    features: int
    blocks: int
    up: Up
    centre: Centre
    sees_all: bool
    threshold: float | None
    pool: int


@dataclass(frozen=True)
class Objective:
    """Which of the dated forms of the reconstruction a training uses, and the deviation of the classes' Gaussians."""

    reconstruction: Reconstruction
    sigma: float


@dataclass(frozen=True)
class Answer:
    """All that the network computes: logits (N, classes), embedding (N, dim) where it has one, the attention before its
    sigmoid (N, maps, H, W) and the corrected image (N, 3, H, W)."""

    logits: torch.Tensor
    embedding: torch.Tensor | None
    attention: torch.Tensor
    corrected: torch.Tensor


class FerAtt(nn.Module):
    """`feratt` and `feratt-paper`: a visible image (N, 3, H, W) in 0..1 to logits (N, classes) and, with the Gaussian
    head, the embedding (N, dim). H and W are multiples of 64.

    Args:
        form: see `Form`.
        classes: number of expressions.
        dim: of the embedding, from which alone the logits follow; None: no embedding, the plain head.
        width: multiplies the channels of every layer but those that count maps or classes.
        norm: what the image goes through first.
        objective: of a training.
        maps: whether `forward` gives the attention map and the corrected image as well.
        attention: makes the attention module of each block of the classifier, if any.
    """

    def __init__(
        self,
        form: Form,
        classes: int,
        dim: int | None,
        *,
        width: float,
        norm: nn.Module,
        objective: Objective,
        maps: bool,
        attention: MapFactory | None = None,
    ) -> None:
        super().__init__()
        self.form, self.classes, self.objective, self.gives_maps = form, classes, objective, maps
        self.norm = norm
        self.attention = AttentionNet(form.maps, up=form.up, centre=form.centre, width=width)
        self.features = FeatureNet(form.features, form.blocks)
        hidden = scaled(FILTERS, width)
        layers: list[nn.Module] = [conv_relu(_seen(form), hidden), nn.Conv2d(hidden, 3, 1)]
        self.to_classifier: nn.Module = nn.Identity()
        if form.sees_all:
            layers += [nn.BatchNorm2d(3), nn.ReLU()]
            scale = tuple(deviation / 0.5 for deviation in CIFAR_DEVIATION)
            self.to_classifier = ChannelAffine(scale, tuple((mean - 0.5) / 0.5 for mean in CIFAR_MEAN))
        if form.threshold is not None:
            layers.append(Threshold(form.threshold))
        self.reconstruction = nn.Sequential(*layers)
        self.representation = PreActResNet18(3, width, attention)
        pooled = self.representation.out_channels
        self.embed: nn.Module | None = None if dim is None else nn.Linear(pooled, dim)
        self.classify = nn.Linear(pooled if dim is None else dim, classes)

    def forward(self, visible: torch.Tensor) -> dict[str, torch.Tensor]:
        answer = self.answer(visible)
        outputs = {"logits": answer.logits}
        if answer.embedding is not None:
            outputs["embedding"] = answer.embedding
        if self.gives_maps:
            outputs["attention_map"] = torch.sigmoid(answer.attention)
            outputs["corrected_image"] = answer.corrected
        return outputs

    def answer(self, visible: torch.Tensor) -> Answer:
        """Everything that follows from a batch of images."""
        image = self.norm(visible)
        attention = self.attention(image)
        weighted = torch.sigmoid(attention) * self.features(image)
        seen = torch.cat((weighted, image, attention), dim=1) if self.form.sees_all else weighted
        corrected = self.reconstruction(seen)
        pooled = self.representation(F.avg_pool2d(self.to_classifier(corrected), self.form.pool))
        embedding = None if self.embed is None else self.embed(pooled)
        return Answer(self.classify(pooled if embedding is None else embedding), embedding, attention, corrected)

    def losses(
        self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The terms of the objective, each with weight 1 as in the public code: `cross-entropy`; `gaussian-structure`
        with the Gaussian head; `reconstruction` where its targets are there.

        The reconstruction needs `targets["clean"]` (N, 3, H, W), the face on black in 0..1, and in its form of 2018
        `targets["mask"]` (N, 1, H, W) as well. Data without them trains by the other terms alone: nothing then tells
        the attention where the face is but the class.
        """
        answer = self.answer(inputs["visible"])
        logits = answer.logits.float()
        terms = {"cross-entropy": F.cross_entropy(logits, labels)}
        if answer.embedding is not None:
            sigma = self.objective.sigma
            terms["gaussian-structure"] = gaussian_structure(answer.embedding, labels, self.classes, sigma)
        clean, mask = targets.get("clean"), targets.get("mask")
        form = self.objective.reconstruction
        if clean is not None and (mask is not None or form != NEEDS_MASK):
            # What ends in a ReLU is like an image in 0..1; what does not, is in the units that the network sees.
            wanted = clean if self.form.sees_all else self.norm(clean)
            terms["reconstruction"] = reconstruction(answer.corrected.float(), wanted, mask, form)
        return terms

    def adapted(self, state: State) -> tuple[State, tuple[str, ...]]:
        """A checkpoint of the public code under this project's names, without what is used nowhere."""
        return adapted(state, embeds=self.embed is not None)


def _seen(form: Form) -> int:
    return form.features + (3 + form.maps if form.sees_all else 0)
