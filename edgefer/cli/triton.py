"""`edgefer triton`: a model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgefer.cli.options import add_bundle, reporter
from edgefer.cli.output import Outcome, facts

if TYPE_CHECKING:
    from edgefer.serve.triton import TritonRepository

DESCRIPTION = (
    "Write a model repository for NVIDIA's Triton Inference Server: the network, its pre-processing, and an ensemble "
    "that takes images and answers with label and probabilities (docs/serving.md)."
)
EXAMPLE = "edgefer triton fusion.edgefer -o models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="MODEL_REPOSITORY",
        required=True,
        help="the folder of the server's models; others that are in it stay",
    )
    parser.add_argument("--name", default="", help="of the ensemble; by default that of the bundle's file")
    parser.add_argument("--graph", metavar="ROLE", help="the graph to serve, of a bundle with several; the first")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        default="",
        help="serve this TensorRT engine, or with `cached` the one in this machine's cache; by default ONNX",
    )
    parser.add_argument(
        "--colour", choices=("bgr", "rgb"), default="bgr", help="the order of the channels of clients' images (bgr)"
    )
    parser.add_argument(
        "--uint16",
        metavar="CAMERA",
        action="append",
        choices=("visible", "infrared"),
        default=[],
        help="images of this camera, visible or infrared, have 16 bits; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="replace models of the same names")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle
    from edgefer.serve.triton import write_triton
    from edgefer.serve.triton_files import TritonOptions

    told = reporter(arguments)
    with told.task("writing the repository"):
        options = TritonOptions(
            name=arguments.name,
            graph=arguments.graph,
            plan=arguments.plan,
            colour=arguments.colour,
            deep=tuple(arguments.uint16),
            force=arguments.force,
        )
        written = write_triton(Bundle.read(arguments.bundle), arguments.output, options)
    for note in written.notes:
        told.note(note)
    payload = {"repository": written.folder, "models": written.models, "notes": written.notes}
    return Outcome(payload=payload, text=_text(written))


def _text(written: TritonRepository) -> str:
    return facts(
        [
            ("repository", str(written.folder)),
            ("models", ", ".join(written.models)),
            ("requests go to", written.models[-1]),
        ]
    )
