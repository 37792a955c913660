"""Arguments and settings that more than one verb has."""

from __future__ import annotations

import argparse
import sys

from edgefer.progress import Reporter, Silent, Terminal

DATA_HELP = "a folder, LAYOUT@FOLDER, or synthetic:COUNT:SEED[:lwir|nir]"


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """The positional BUNDLE."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle made by build-engine")


def add_layout(parser: argparse.ArgumentParser) -> None:
    """`--layout`, left out of the namespace when it is not given."""
    parser.add_argument(
        "--layout",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="how the folder is arranged: folder, pairs, or a data set by name, with its options (docs/datasets.md); "
        "by default its contents tell",
    )


def add_threads(parser: argparse._ActionsContainer) -> None:
    """`--threads`."""
    parser.add_argument("--threads", metavar="N", type=int, help="threads of one inference; by default, all cores")


def reporter(arguments: argparse.Namespace) -> Reporter:
    """Who hears about progress: standard error, or nobody under `--quiet`."""
    return Silent() if arguments.quiet or sys.stderr is None else Terminal()
