"""`edgefer train`: weights for a registered network, from labelled data."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.cli.options import DATA_HELP, add_layout, reporter
from edgefer.cli.output import Outcome, facts

if TYPE_CHECKING:
    from edgefer_export.train import TrainResult

DESCRIPTION = """\
Train a registered network on labelled data and write a checkpoint that build-engine takes as --weights. Without
--validation a part of the data is held out, of people that the rest does not show."""
EXAMPLE = "edgefer train viri-fusion --data synthetic:6000:1 --option width=0.25 size=64 --minutes 2 -o fusion.pt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Nothing has a default here: what is not given is as TrainSpec has it.
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("network", metavar="NETWORK", help="a registered name")
    parser.add_argument("--data", metavar="DATA", required=True, help=DATA_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the checkpoint to write")
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
    length = parser.add_argument_group("length", "whichever ends first; 20 epochs when nothing is given")
    length.add_argument("--epochs", metavar="N", type=int, help="passes over the data")
    length.add_argument("--steps", metavar="N", type=int, help="batches")
    length.add_argument("--minutes", metavar="M", type=float, help="wall-clock minutes, reading the data included")
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--batch", metavar="N", type=int, help="samples a step (64)")
    recipe.add_argument("--learning-rate", metavar="R", type=float, help="the highest one (0.004)")
    recipe.add_argument(
        "--dropout", metavar="P", type=float, help="of every dropout layer; by default the network's own"
    )
    recipe.add_argument("--modality-dropout", metavar="P", type=float, help="how often a camera is left out (0)")
    recipe.add_argument("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the samples (yes)")
    recipe.add_argument("--seed", metavar="N", type=int, help="of weights, order, augmentation and split (0)")


# Fields that TrainSpec takes as the parser gives them; the others are read as build-engine reads its own.
_PLAIN = (
    *("network", "data", "validation", "validation_share", "layout", "epochs", "steps", "minutes", "batch"),
    *("learning_rate", "dropout", "modality_dropout", "flip", "seed"),
)
_READ = ("option", "labels", "band", "weights")


def run(arguments: argparse.Namespace) -> Outcome:
    output = Path(arguments.output).expanduser()
    from edgefer.outputs import check_output

    check_output("--output", output)
    from edgefer_export.spec_fields import convert
    from edgefer_export.train import TrainSpec, train

    given = vars(arguments)
    fields: dict[str, Any] = {name: given[name] for name in _PLAIN if name in given}
    fields |= convert({name: given[name] for name in _READ if name in given})
    if "towers" in given:
        visible, infrared = (Path(path).expanduser() for path in given["towers"])
        fields["towers"] = (visible, infrared)
    result = train(TrainSpec(output=output, **fields), reporter(arguments))
    payload = {**dataclasses.asdict(result), "accuracy": result.accuracy}
    return Outcome(payload=payload, text=_text(result))


def _text(result: TrainResult) -> str:
    accuracy = f"{result.correct} of {result.count} right ({100 * result.accuracy:.2f} %)"
    return facts(
        [
            ("checkpoint", str(result.path)),
            ("network", f"{result.network}: {', '.join(result.labels)}"),
            ("validation", f"{accuracy}, after epoch {result.best_epoch} of {len(result.history)}"),
            ("training", f"{result.samples} samples, {result.steps} steps, {result.stopped}, {result.arithmetic}"),
            ("seconds", f"{result.seconds:.1f}"),
        ]
    )
