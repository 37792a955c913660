"""ML-Net: where people look in a picture, from three depths of VGG-16 and a learned prior.

Cornia et al., "A Deep Multi-Level Network for Saliency Prediction", ICPR 2016, arXiv 1609.01064. The published network
takes 480x640 pixels in BGR minus fixed means, in a letterbox of zeros; the means are subtracted in the graph, and the
bars are zeros before that, as there. Of a map (N, 1, H/8, W/8) only its shape counts: it is divided by its maximum.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import TrainingError, UsageError
from edgefer_export.networks.family import SMALLEST_SIZE, Band, ImageNetNorm, NetworkFamily
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.resnet import scaled
from edgefer_export.networks.vgg import VggTrunk

OUTPUT = "saliency"
STRIDE = 8
"""Pixels of the image for each value of the map, along each axis."""

EPSILON = 2.0**-14
"""The least that a map is divided by, so that an empty one gives zeros: the smallest normal number of FP16."""

_MEANS = (103.939, 116.779, 123.68)
_LEVELS = 255.0
# Places in torchvision's `features`: the pools after the third and fourth stage, and the last ReLU of the fifth.
_POOL3, _POOL4, _RELU5 = 16, 23, 29
_ENCODING = 64
_PRIOR_STEP = 10
_MARGIN = 0.1


class PaddedPool(nn.Module):
    """Maximum of 2x2 values at every position: (N, C, H, W) to the same shape. Beyond the right and lower border are
    zeros, which no maximum after a ReLU notices. On which side the authors' framework pads is not certain."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, stride=1)


class MlNet(nn.Module):
    """`ml-net`: an image (N, 3, H, W), BGR in 0..1, to its saliency (N, 1, H/8, W/8) in 0..1 with a maximum of 1, or
    zeros where nothing stands out.

    Args:
        height: H, a multiple of 8.
        width_px: W, likewise.
        width: multiplies the channels of every layer.
    """

    means: torch.Tensor

    def __init__(self, height: int, width_px: int, width: float = 1.0) -> None:
        super().__init__()
        layers = list(VggTrunk(3, width, depth=16).features)[: _RELU5 + 1]
        layers[_POOL4] = PaddedPool()
        self.features = nn.Sequential(*layers)
        taps = scaled(256, width) + 2 * scaled(512, width)
        hidden = scaled(_ENCODING, width)
        self.dropout = nn.Dropout(0.5)
        self.encode = nn.Conv2d(taps, hidden, 3, padding=1)
        self.score = nn.Conv2d(hidden, 1, 1)
        self.size = (height // STRIDE, width_px // STRIDE)
        grid = [max(1, side // _PRIOR_STEP) for side in self.size]
        self.prior = nn.Parameter(torch.zeros(1, 1, *grid))
        self.register_buffer("means", torch.tensor(_MEANS).view(1, 3, 1, 1), persistent=False)
        nn.init.kaiming_normal_(self.encode.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.score.weight, nonlinearity="relu")
        with torch.no_grad():
            # The features are not negative: with weights of both signs half of all fresh networks answer zero
            # everywhere, where no gradient leads out. What the authors start from is not stated.
            self.score.weight.abs_()
            for layer in (self.encode, self.score):
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = image * _LEVELS - self.means
        taps = []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in (_POOL3, _POOL4, _RELU5):
                taps.append(x)
        x = F.relu(self.encode(self.dropout(torch.cat(taps, dim=1))))
        x = F.relu(self.score(x))
        prior = F.interpolate(self.prior, size=self.size, mode="bilinear", align_corners=False)
        x = F.relu(x * (1 + prior))
        peak = F.adaptive_max_pool2d(x, 1)
        return {OUTPUT: x / peak.clamp(min=EPSILON)}

    def losses(
        self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The terms of the objective (section III-C of the paper): the squared deviation, which counts more where
        people look, and the size of the prior.

        Args:
            inputs: `image`.
            labels: not used.
            targets: `saliency`, (N, 1, H', W') in 0..1, at least as fine as the map.

        Raises:
            TrainingError: there is no such target.
        """
        if OUTPUT not in targets:
            raise TrainingError(
                "ml-net is trained on saliency maps, and the data has none",
                hint="use --layout saliency (DIR/images with DIR/maps), or synthetic faces",
            )
        found = self.forward(inputs["image"])[OUTPUT]
        wanted = F.adaptive_avg_pool2d(targets[OUTPUT], self.size)
        deviation = (found - wanted) ** 2 / (1 - wanted + _MARGIN)
        return {"saliency": deviation.mean(), "prior": (self.prior**2).mean()}

    @property
    def fresh(self) -> tuple[str, ...]:
        """Everything but the convolutions of VGG-16."""
        return ("encode.", "score.", "prior")

    def from_classifier(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The convolutions of torchvision's VGG-16, the first one for this network's pixels, see `_for_bgr`."""
        taken = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
        kernel, bias = (taken.get(f"features.0.{name}") for name in ("weight", "bias"))
        if kernel is not None and bias is not None and kernel.dim() == 4 and kernel.shape[1] == len(_MEANS):
            taken["features.0.weight"], taken["features.0.bias"] = _for_bgr(kernel, bias)
        return taken

    def adapted(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
        """The weights of a checkpoint as this network takes them, and sentences about what was changed: a prior that
        was learned on another grid is resized bilinearly."""
        prior = state.get("prior")
        if prior is None or prior.dim() != 4 or prior.shape[:2] != (1, 1) or prior.shape == self.prior.shape:
            return state, ()
        found, wanted = ("x".join(map(str, each.shape[2:])) for each in (prior, self.prior))
        resized = F.interpolate(prior.float(), size=self.prior.shape[2:], mode="bilinear", align_corners=False)
        note = f"the prior was learned on a grid of {found} and is resized to {wanted}; train it again to learn its own"
        return {**state, "prior": resized}, (note,)


def _for_bgr(kernel: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A first layer (C, 3, k, k), (C,) for RGB in 0..1 normalised by ImageNet's mean and deviation, as one for BGR in
    0..255 minus `_MEANS`.

    With y the latter, the former is y / (255 deviation) + rest, of which the rest goes into the bias. Both results are
    the same but for the border, where the padding stands for a colour that differs by up to half a level of 255.
    """
    norm = ImageNetNorm(len(_MEANS))
    scale, shift = norm.scale.double(), norm.shift.double()
    means = torch.tensor(_MEANS[::-1], dtype=torch.float64).view_as(scale)
    rest = means / _LEVELS * scale + shift
    wide = kernel.double()
    moved = bias.double() + (wide * rest).sum(dim=(1, 2, 3))
    return (wide * scale / _LEVELS).flip(1).to(kernel.dtype), moved.to(bias.dtype)


def image_side(name: str, default: int) -> Option:
    """The option for the height or the width of the image."""
    meaning = f"pixels of the image, a multiple of {STRIDE}"
    return Option(name, str(default), meaning, "int", minimum=SMALLEST_SIZE, maximum=4096)


def _sides(settings: Settings) -> tuple[int, int]:
    sides = settings.integer("height"), settings.integer("width_px")
    for name, side in zip(("height", "width_px"), sides, strict=True):
        if side % STRIDE:
            raise UsageError(
                f"option {name}={side} is no multiple of {STRIDE}", hint=f"take {side // STRIDE * STRIDE + STRIDE}"
            )
    return sides


def _build(settings: Settings) -> nn.Module:
    return MlNet(*_sides(settings), settings.number("width"))


def _inputs(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    image = ImageSpec(colour="bgr", fit="letterbox", band="visible")
    # Not called `visible`: in a bundle it stands beside the input of a classifier.
    return (InputSpec(name="image", role="visible", shape=(1, 3, *_sides(settings)), image=image),)


def _targets(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    image = ImageSpec(colour="grey", fit="letterbox")
    return (InputSpec(name=OUTPUT, role="saliency", shape=(1, 1, *_sides(settings)), image=image),)


FAMILIES = (
    NetworkFamily(
        name="ml-net",
        summary="where people look in a picture: VGG-16 at three depths, an encoding and a learned prior",
        paper="Cornia et al. 2016, A Deep Multi-Level Network for Saliency Prediction, ICPR, arXiv 1609.01064",
        graph_role="saliency",
        options=(
            Option(
                "width",
                "1",
                "multiplies the channels of every layer (at least 8 stay)",
                "float",
                minimum=0.01,
                maximum=8,
            ),
            image_side("height", 480),
            image_side("width_px", 640),
        ),
        build=_build,
        inputs=_inputs,
        targets=_targets,
        label_sets=(),
        logits=False,
    ),
)
