"""`edgefer train`: weights for a registered network, from labelled data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.cli.options import DATA_HELP, add_layout, reporter
from edgefer.cli.output import Outcome, facts
from edgefer.errors import UsageError

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
    parser.add_argument("--validation", metavar="DATA", help="labelled data to measure on; trained on nowhere")
    add_layout(parser)
    parser.add_argument("--option", metavar="KEY=VALUE", nargs="+", action="extend", help="options of the network")
    length = parser.add_argument_group("length", "whichever comes first ends the training")
    length.add_argument("--epochs", metavar="N", type=int, help="passes over the data")
    length.add_argument("--steps", metavar="N", type=int, help="batches")
    length.add_argument("--minutes", metavar="M", type=float, help="wall-clock minutes")
    parser.add_argument("--seed", metavar="N", type=int, help="of weights, order and augmentation (0)")


def run(arguments: argparse.Namespace) -> Outcome:
    output = Path(arguments.output).expanduser()
    _check_output(output)
    from edgefer_export.spec_fields import convert
    from edgefer_export.train import TrainSpec, train

    names = ("network", "data", "validation", "layout", "epochs", "steps", "minutes", "seed")
    fields: dict[str, Any] = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    if hasattr(arguments, "option"):
        fields |= convert({"option": arguments.option})
    result = train(TrainSpec(output=output, **fields), reporter(arguments))
    return Outcome(payload=result, text=_text(result))


def _check_output(path: Path) -> None:
    # Before the first step, not after the last.
    if path.is_dir():
        raise UsageError(f"--output names the folder {path}; a file is expected.")
    if not path.parent.is_dir():
        raise UsageError(
            f"--output {path} is in a folder that does not exist.", hint=f"Create it: mkdir -p {path.parent}"
        )


def _text(result: TrainResult) -> str:
    return facts([(name.replace("_", " "), str(value)) for name, value in vars(result).items()])
