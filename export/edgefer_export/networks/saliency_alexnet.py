"""AlexNet on a face whose pixels are weighted by a saliency map.

Mavani, Raman and Miyapuram, "Facial Expression Recognition Using Visual Saliency and Deep Learning", ICCV Workshops
2017, arXiv 1708.08016: cropped faces are multiplied with their saliency maps. Which network of ILSVRC-2012 they
fine-tuned, its input size, its classes and how the map is scaled are not stated. This one is AlexNet as torchvision
has it (224 pixels, no local response normalisation), with the seven basic expressions. Weighting a part only is after
SAF-BAGE (Gurnani et al. 2018, arXiv 1803.05719), which takes 0.3.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import UsageError
from edgefer_export.networks.family import Band, ImageNetNorm, NetworkFamily, common_options, image_input
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.resnet import scaled
from edgefer_export.networks.vgg import VggTrunk

MAP: Final = "saliency"
"""The input that takes the map, and its role."""

_LABELS = ("basic-7",)
_HIDDEN = 4096


class SaliencyWeighting(nn.Module):
    """x (1 - w + w S) of an image x (N, C, H, W) in 0..1 and its map S (N, 1, H, W) in 0..1.

    It comes before anything is subtracted: a pixel that does not count turns black, and not an average grey. A map
    without any value above 0 says nothing about the face, and the image stays as it is (S = 1).
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, image: torch.Tensor, saliency: torch.Tensor) -> torch.Tensor:
        peak = F.adaptive_max_pool2d(saliency, 1)
        known = torch.where(peak > 0, saliency, torch.ones_like(saliency))
        return image * ((1 - self.weight) + self.weight * known)


class SaliencyClassifier(nn.Module):
    """`saliency-alexnet`: a face `visible` (N, 3, H, W) and its map `saliency` (N, 1, H, W) to logits (N, classes)."""

    loss = "ce_on_logits"

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        layers = alexnet if settings.text("backbone") == "alexnet" else vgg16
        self.features, self.classifier = layers(
            settings.integer("classes"), settings.integer("size"), settings.number("width")
        )
        self.apply(_initialise)
        self.weighting = SaliencyWeighting(settings.number("weight")) if settings.flag("saliency") else None
        self.norm: nn.Module = ImageNetNorm(3) if settings.text("norm") == "imagenet" else nn.Identity()

    @property
    def fresh(self) -> tuple[str, ...]:
        """The last layer, which is for other classes than ImageNet's."""
        return (f"classifier.{len(self.classifier) - 1}.",)

    def from_classifier(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Everything but the last layer of torchvision's AlexNet or VGG-16, whichever `backbone` is."""
        return {name: tensor for name, tensor in state.items() if not name.startswith(self.fresh)}

    def forward(self, visible: torch.Tensor, saliency: torch.Tensor | None = None) -> torch.Tensor:
        if self.weighting is not None and saliency is not None:
            visible = self.weighting(visible, saliency)
        logits: torch.Tensor = self.classifier(self.features(self.norm(visible)).flatten(1))
        return logits


def alexnet(classes: int, size: int = 224, width: float = 1.0) -> tuple[nn.Sequential, nn.Sequential]:
    """The `features` and `classifier` of AlexNet as torchvision has them at 224 pixels; at another size the first fully
    connected layer takes the feature map as it then is.

    Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, 2014.

    Raises:
        UsageError: nothing is left of an image of that size.
    """
    first, second, third, fourth = (scaled(channels, width) for channels in (64, 192, 384, 256))
    features = nn.Sequential(
        nn.Conv2d(3, first, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(third, fourth, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(fourth, fourth, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
    )
    hidden = scaled(_HIDDEN, width)
    classifier = nn.Sequential(
        nn.Dropout(0.5),
        nn.Linear(fourth * _alexnet_side(size) ** 2, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    )
    return features, classifier


def vgg16(classes: int, size: int = 224, width: float = 1.0) -> tuple[nn.Sequential, nn.Sequential]:
    """The same of VGG-16, which later work of the authors' circle takes (VEGAC, 2018)."""
    trunk = VggTrunk(3, width, depth=16)
    hidden = scaled(_HIDDEN, width)
    classifier = nn.Sequential(
        nn.Linear(trunk.out_channels * (size // 32) ** 2, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(hidden, classes),
    )
    return trunk.features, classifier


def _initialise(module: nn.Module) -> None:
    # He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2: without batch norm, a signal that shrinks in
    # every layer leaves eight of them with nothing to learn from.
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def _alexnet_side(size: int) -> int:
    """Height and width of the last feature map for an image of `size`: 6 for 224."""
    side = (size + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    if side < 1:
        raise UsageError(f"option size={size} is too small for AlexNet", hint="take 64 or more")
    return side


def map_input(size: int) -> InputSpec:
    """The map (1, 1, size, size) in 0..1, as fine as the face: resizing it is not the graph's affair."""
    return InputSpec(name=MAP, role=MAP, shape=(1, 1, size, size), image=ImageSpec(colour="grey"))


def _inputs(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    size = settings.integer("size")
    face = image_input("visible", "visible", 3, size)
    return (face, map_input(size)) if settings.flag("saliency") else (face,)


FAMILIES = (
    NetworkFamily(
        name="saliency-alexnet",
        summary="AlexNet on a face whose pixels are weighted by where people look",
        paper="Mavani et al. 2017, ICCV Workshops, arXiv 1708.08016; Krizhevsky 2014, arXiv 1404.5997",
        graph_role="visible",
        options=(
            *common_options(*_LABELS, size=224, norm="imagenet"),
            Option(
                "backbone", "alexnet", "the network of ILSVRC-2012; vgg16 is stronger", choices=("alexnet", "vgg16")
            ),
            Option("saliency", "true", "a second input (N, 1, H, W): the map that weights the pixels", kind="flag"),
            Option(
                "weight",
                "1",
                "w in x (1 - w + w S): 1 is the plain product, 0.3 that of SAF-BAGE",
                "float",
                minimum=0,
                maximum=1,
            ),
        ),
        build=SaliencyClassifier,
        inputs=_inputs,
        label_sets=_LABELS,
    ),
)
