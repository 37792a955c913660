"""`edgefer train`: weights for a registered network, from labelled data."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from edgefer.cli.options import DATA_HELP, add_layout, reporter
from edgefer.cli.output import Outcome
from edgefer.cli.train_recipe import PATHS, RECIPE, add_recipe
from edgefer.cli.train_text import folds_text, recipes_payload, recipes_text, result_text
from edgefer.errors import UsageError

DESCRIPTION = """\
Train a registered network on labelled data and write a checkpoint that build-engine takes as --weights. Without
--validation a part of the data is held out, of people that the rest does not show. A recipe is the settings of a paper
under a name; what is given besides wins."""
EXAMPLE = """\
edgefer train viri-fusion --data synthetic:6000:1 --option width=0.25 size=64 --minutes 2 -o fusion.pt
  edgefer train viri-visible --data data/VIRI --recipe naseem2025 --resume -o visible.pt
  edgefer train --recipes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Nothing has a default here: what is not given is as the recipe has it, `sane` where there is none, or TrainSpec.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("network", metavar="NETWORK", nargs="?", help="a registered name")
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", help="the checkpoint to write")
    parser.add_argument(
        "--validation", metavar="DATA", help="labelled data to choose the best epoch by; never trained on"
    )
    parser.add_argument(
        "--validation-share", metavar="S", type=float, help="share of the data to hold out without it (0.1)"
    )
    add_layout(parser)
    network = parser.add_argument_group("network")
    network.add_argument("--option", metavar="KEY=VALUE", nargs="+", action="extend", help="options of the network")
    network.add_argument("--labels", metavar="A,B,...", help="class names in the order of the logits")
    network.add_argument("--band", choices=("nir", "lwir"), help="the band of the infrared camera")
    network.add_argument("--weights", metavar="FILE", help="a checkpoint of the same network to start from")
    network.add_argument(
        "--towers", metavar=("VISIBLE", "INFRARED"), nargs=2, help="checkpoints to start the towers of a fusion from"
    )
    network.add_argument("--saliency", metavar="FILE", help="a checkpoint of ml-net, for networks that take its maps")
    network.add_argument(
        "--backbones", metavar=("FIRST", "SECOND"), nargs=2, help="checkpoints of backbone to start two trunks from"
    )
    network.add_argument(
        "--trunk", metavar="FILE", help="torchvision's classifier to start from: every ResNet or VGG trunk, or AlexNet"
    )
    network.add_argument("--stage", metavar="NAME", help="what of the network is trained; by default its first stage")
    length = parser.add_argument_group("length", "whichever ends first; 20 epochs when nothing is given")
    length.add_argument("--epochs", metavar="N", type=int, help="passes over the data")
    length.add_argument("--steps", metavar="N", type=int, help="batches")
    length.add_argument("--minutes", metavar="M", type=float, help="wall-clock minutes, reading the data included")
    length.add_argument("--patience", metavar="N", type=int, help="stop after N epochs in a row without a better one")
    add_recipe(parser)
    record = parser.add_argument_group("record")
    record.add_argument(
        "--resume",
        action="store_true",
        help="keep a state beside the checkpoint after every epoch (FILE.state), and go on from it where it is there",
    )
    record.add_argument(
        "--folds",
        metavar="K",
        type=int,
        help="cross-validate by people: K networks (FILE-fold-1, ...), each tested on people it has not seen; not "
        "with --weights, --towers or --backbones, which may have",
    )
    record.add_argument("--log", metavar="FILE.csv", help="write a row an epoch")
    record.add_argument("--tensorboard", metavar="FOLDER", help="write TensorBoard's files, where it is installed")


# Fields that TrainSpec takes as the parser gives them; the others are read as build-engine reads its own, or are paths.
_PLAIN = (
    *("network", "data", "validation", "validation_share", "layout", "epochs", "steps", "minutes", "patience"),
    *("stage", "resume", *RECIPE),
)
_READ = ("option", "labels", "band", "weights")
_PATHS = ("trunk", "saliency", "log", "tensorboard", *PATHS)
_PAIRS = ("towers", "backbones")


def run(arguments: argparse.Namespace) -> Outcome:
    given = vars(arguments)
    if "recipes" in given:
        return _recipes(given.get("network"))
    missing = [flag for flag, name in _REQUIRED.items() if name not in given]
    if missing:
        raise UsageError(f"{', '.join(missing)}: needed to train, and not given.", hint="edgefer train --help")
    output = Path(arguments.output).expanduser()
    from edgefer.outputs import check_output

    check_output("--output", output)
    if "log" in given:
        check_output("--log", Path(given["log"]).expanduser())
    from edgefer_export.spec_fields import convert
    from edgefer_export.train import as_json, cross_validate, spec_from, train

    fields: dict[str, Any] = {name: given[name] for name in _PLAIN if name in given}
    fields |= convert({name: given[name] for name in _READ if name in given})
    fields |= {name: Path(given[name]).expanduser() for name in _PATHS if name in given}
    for name in _PAIRS:
        if name in given:
            first, second = (Path(path).expanduser() for path in given[name])
            fields[name] = (first, second)
    spec = spec_from(given.get("recipe"), output=output, **fields)
    if "folds" in given:
        folds = cross_validate(spec, given["folds"], reporter(arguments))
        return Outcome(payload=as_json(folds), text=folds_text(folds))
    result = train(spec, reporter(arguments))
    interval = None if result.interval is None else dataclasses.asdict(result.interval)
    payload = {**dataclasses.asdict(result), "accuracy": result.accuracy, "interval": interval}
    return Outcome(payload=payload, text=result_text(result))


_REQUIRED = {"NETWORK": "network", "--data": "data", "--output": "output"}


def _recipes(network: str | None) -> Outcome:
    from edgefer_export.networks import registry
    from edgefer_export.train import RECIPES, recipes_for

    if network is not None:
        registry.describe(network)
    recipes = RECIPES if network is None else recipes_for(network)
    return Outcome(payload={"recipes": recipes_payload(recipes)}, text=recipes_text(recipes))
