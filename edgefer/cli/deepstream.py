"""`edgefer deepstream`: a configuration of DeepStream's nvinfer for a network of one camera."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgefer.cli.options import add_bundle, reporter
from edgefer.cli.output import Outcome, facts

if TYPE_CHECKING:
    from edgefer.serve.deepstream import DeepStreamFolder

DESCRIPTION = (
    "Write a configuration of DeepStream's nvinfer, with labels and model, for a network of one camera. What nvinfer "
    "cannot do as the bundle says is refused by name (docs/serving.md)."
)
EXAMPLE = "edgefer deepstream visible.edgefer -o face-classifier"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, help="the folder to write")
    parser.add_argument("--graph", metavar="ROLE", help="the graph to run, of a bundle with several; the first")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        default="",
        help="run this TensorRT engine, or with `cached` the one in this machine's cache: its outputs come as raw "
        "tensors; by default ONNX, which nvinfer compiles",
    )
    parser.add_argument(
        "--plugin-library",
        metavar="PATH",
        default="",
        help="the plugin library on the device, for an engine with plugins (docs/plugin-library.md)",
    )
    parser.add_argument(
        "--threshold", metavar="P", type=float, default=0.0, help="the least probability that is reported (0)"
    )
    parser.add_argument(
        "--objects-of", metavar="ID", type=int, help="classify what the detector with this gie-unique-id found"
    )
    parser.add_argument("--force", action="store_true", help="replace a folder that this command wrote")


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.bundle.container import Bundle
    from edgefer.serve.deepstream import DeepStreamOptions, write_deepstream

    told = reporter(arguments)
    with told.task("writing the configuration"):
        options = DeepStreamOptions(
            graph=arguments.graph,
            plan=arguments.plan,
            plugin_library=arguments.plugin_library,
            threshold=arguments.threshold,
            objects_of=arguments.objects_of,
            force=arguments.force,
        )
        written = write_deepstream(Bundle.read(arguments.bundle), arguments.output, options)
    for note in written.notes:
        told.note(note)
    payload = {"folder": written.folder, "files": written.files, "notes": written.notes}
    return Outcome(payload=payload, text=_text(written))


def _text(written: DeepStreamFolder) -> str:
    return facts([("folder", str(written.folder)), ("files", ", ".join(written.files))])
