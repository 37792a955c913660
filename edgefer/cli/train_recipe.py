"""The flags of `edgefer train` that a recipe has values for."""

from __future__ import annotations

import argparse

RECIPE = (
    *("batch", "learning_rate", "optimiser", "schedule", "head_rate", "weight_decay", "label_smoothing", "dropout"),
    *("modality_dropout", "flip", "crop", "rotation", "padding", "moved", "erasing", "offline", "apart", "composite"),
    *("sampler", "epoch_samples", "arithmetic", "seed"),
)
"""Fields of `TrainSpec` that these flags set as the parser gives them."""

PATHS = ("backgrounds",)
"""Fields that they set as paths."""


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The group of flags; in brackets what holds where neither the flag nor a recipe says otherwise."""
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "--recipe", metavar="NAME", help="take the settings of a paper; `sane`, of our own, holds without"
    )
    recipe.add_argument(
        "--recipes", action="store_true", help="list the recipes, of NETWORK where that is given, and train nothing"
    )
    recipe.add_argument(
        "--batch", metavar="N", type=int, help="samples a step (64, or 32 without batch norm throughout)"
    )
    recipe.add_argument("--learning-rate", metavar="R", type=float, help="the highest one (0.004, or 0.0005 likewise)")
    recipe.add_argument(
        "--optimiser", metavar="NAME", help="adamw, adam, adam:amsgrad, sgd:MOMENTUM or sgd:MOMENTUM:nesterov (adamw)"
    )
    recipe.add_argument(
        "--schedule",
        metavar="NAME",
        help="one-cycle, constant, step:EPOCHS:FACTOR, cosine:EPOCHS, cosine-as-run:EPOCHS, plateau:EPOCHS:FACTOR or "
        "inverse:D (one-cycle)",
    )
    recipe.add_argument("--head-rate", metavar="F", type=float, help="factor on the rate of the last layer (1)")
    recipe.add_argument("--weight-decay", metavar="D", type=float, help="of the optimiser (0.05)")
    recipe.add_argument("--label-smoothing", metavar="S", type=float, help="of the cross-entropy (0.05)")
    recipe.add_argument(
        "--dropout", metavar="P", type=float, help="of every dropout layer; by default the network's own"
    )
    recipe.add_argument(
        "--modality-dropout", metavar="P", type=float, help="how often one of two cameras is left out (0)"
    )
    recipe.add_argument("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the samples (yes)")
    recipe.add_argument("--crop", metavar="S", type=float, help="shift by up to this share of the side (0.06)")
    recipe.add_argument("--rotation", metavar="D", type=float, help="turn by up to this many degrees (0)")
    recipe.add_argument("--padding", metavar="N", type=int, help="shift by up to this many pixels, with black (0)")
    recipe.add_argument("--moved", metavar="P", type=float, help="how often these two are done (1)")
    recipe.add_argument(
        "--erasing", metavar="S", type=float, help="paint over a rectangle of up to this share in half of them (0)"
    )
    recipe.add_argument(
        "--offline", choices=("none", "naseem2025"), help="make 25 changed copies of every image first (none)"
    )
    recipe.add_argument(
        "--apart",
        action=argparse.BooleanOptionalAction,
        help="and change the two cameras' copies independently (no); with --offline",
    )
    recipe.add_argument(
        "--composite",
        choices=("none", "2018", "2019-03", "2019-04"),
        help="put every face on a background as FERAtt's code of that date (none)",
    )
    recipe.add_argument("--backgrounds", metavar="FOLDER", help="pictures for that; by default, textures of chance")
    recipe.add_argument(
        "--sampler", choices=("shuffled", "class-cyclic"), help="the order of the samples of an epoch (shuffled)"
    )
    recipe.add_argument(
        "--epoch-samples", metavar="N", type=int, help="samples an epoch, 2 or more; by default all, once"
    )
    recipe.add_argument(
        "--arithmetic", choices=("auto", "fp32", "bf16"), help="of the forward and backward pass (auto)"
    )
    recipe.add_argument("--seed", metavar="N", type=int, help="of weights, order, augmentation and split (0)")
