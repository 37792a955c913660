"""`feratt` and `feratt-paper` as registered networks: their options and what these make."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import UsageError
from edgefer_export.networks.blocks.choose import choose, names
from edgefer_export.networks.family import Band, ImageNetNorm, NetworkFamily, common_options, image_input
from edgefer_export.networks.feratt import CIFAR_DEVIATION, CIFAR_MEAN, FerAtt, Form, Objective
from edgefer_export.networks.feratt_attention import FILTERS
from edgefer_export.networks.feratt_losses import RECONSTRUCTIONS, Reconstruction
from edgefer_export.networks.feratt_parts import ChannelAffine
from edgefer_export.networks.options import Option, Settings
from edgefer_export.networks.resnet import scaled

# The encoder halves the image six times, and the decoder doubles what is left to the same sizes again.
SIZE_STEP = 64

_LABEL_SETS = ("feratt", "bu-3dfe")
_HEADS = ("gaussian", "plain")
# What stands on one map, inside a block: BAM belongs between stages, and AFF takes the shortcut's map as well.
_ATTENTIONS = tuple(name for name in names() if name == "none" or (choose(name).stage and not choose(name).between))
_PAPER = "Marrero Fernandez et al. 2019, FERAtt, CVPR Workshops, DOI 10.1109/CVPRW.2019.00112"


def last_form(classes: int) -> Form:
    """The public code from April 2019 on: a map and a feature for each class."""
    return Form(
        maps=classes,
        features=classes,
        blocks=8,
        up="bilinear",
        centre="pooled",
        sees_all=True,
        threshold=None,
        pool=2,
    )


def paper_form(features: int, threshold: float) -> Form:
    """The figure of the paper, with the numbers of the code of November and December 2018: one map for all classes."""
    return Form(
        maps=1,
        features=features,
        blocks=4,
        up="transposed",
        centre="dilated",
        sees_all=False,
        threshold=threshold,
        pool=4,
    )


def _options(*, size: int, norm: str, reconstruction: Reconstruction, sigma: str) -> tuple[Option, ...]:
    shared = (option for option in common_options(*_LABEL_SETS, size=size) if option.name != "norm")
    return (
        *shared,
        Option(
            "norm",
            norm,
            "normalise by the mean and deviation of ImageNet or CIFAR-10 inside the graph",
            choices=("none", "imagenet", "cifar10"),
        ),
        Option("head", "gaussian", "gaussian: an embedding, and logits from it; plain: logits alone", "choice", _HEADS),
        Option("dim", "64", "values of the embedding", "int", minimum=1, maximum=4096),
        Option("attention", "none", "attention in every block of the classifier", choices=_ATTENTIONS),
        Option("maps", "false", "give the attention map and the corrected image as outputs, too", kind="flag"),
        Option(
            "reconstruction",
            reconstruction,
            "what a training compares the corrected image by: the public code of 2018, March or April 2019",
            choices=RECONSTRUCTIONS,
        ),
        Option(
            "sigma",
            sigma,
            "deviation of a class in the embedding, for training: 1 in the code until May 2019, 0.5 from July",
            "float",
            minimum=0.01,
            maximum=100,
        ),
    )


_THRESHOLD = Option(
    "threshold",
    "0.01",
    "values of the corrected image that are smaller become 0",
    "float",
    minimum=0,
    maximum=1,
)


def _build(form: Callable[[Settings], Form]) -> Callable[[Settings], nn.Module]:
    def build(settings: Settings) -> nn.Module:
        _check_size(settings)
        return FerAtt(
            form(settings),
            settings.integer("classes"),
            settings.integer("dim") if settings.text("head") == "gaussian" else None,
            width=settings.number("width"),
            norm=_norm(settings.text("norm")),
            objective=Objective(cast(Reconstruction, settings.text("reconstruction")), settings.number("sigma")),
            maps=settings.flag("maps"),
            attention=choose(settings.text("attention")).stage,
        )

    return build


def _check_size(settings: Settings) -> None:
    size = settings.integer("size")
    if size % SIZE_STEP:
        below, above = size // SIZE_STEP * SIZE_STEP, (size // SIZE_STEP + 1) * SIZE_STEP
        near = f"{below} or {above}" if below else str(above)
        raise UsageError(
            f"size={size}, and FERAtt takes images whose side is a multiple of {SIZE_STEP}: it halves them six times",
            hint=f"size={near}",
        )


def _norm(name: str) -> nn.Module:
    if name == "imagenet":
        return ImageNetNorm(3)
    if name == "cifar10":
        scale = tuple(1 / deviation for deviation in CIFAR_DEVIATION)
        return ChannelAffine(
            scale, tuple(-mean / deviation for mean, deviation in zip(CIFAR_MEAN, CIFAR_DEVIATION, strict=True))
        )
    return nn.Identity()


def _inputs(settings: Settings, band: Band) -> tuple[InputSpec, ...]:
    return (image_input("visible", "visible", 3, settings.integer("size")),)


FAMILIES = (
    NetworkFamily(
        name="feratt",
        summary="attention, a corrected image and PreActResNet-18 on it: the last form of the public code",
        paper=_PAPER,
        graph_role="visible",
        options=_options(size=64, norm="none", reconstruction="2019-04", sigma="0.5"),
        build=_build(lambda settings: last_form(settings.integer("classes"))),
        inputs=_inputs,
        label_sets=_LABEL_SETS,
    ),
    NetworkFamily(
        name="feratt-paper",
        summary="the same as the paper's figure has it: one attention map, dilated centre, transposed convolutions",
        paper=_PAPER,
        graph_role="visible",
        options=(*_options(size=128, norm="cifar10", reconstruction="2018", sigma="1"), _THRESHOLD),
        build=_build(
            lambda settings: paper_form(scaled(FILTERS, settings.number("width")), settings.number("threshold"))
        ),
        inputs=_inputs,
        label_sets=_LABEL_SETS,
    ),
)
