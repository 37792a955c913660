"""From a bundle to a model repository for NVIDIA's Triton Inference Server.

NAME           an ensemble: images in, label and probabilities out
NAME_prepare   pre-processing, by edgefer in the Python backend
NAME_network   the network, as ONNX or as a TensorRT engine
NAME_answer    label and probabilities, by edgefer in the Python backend
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec
from edgefer.errors import UsageError
from edgefer.serve.plan import Plan, take_plan
from edgefer.serve.publish import write_folders
from edgefer.serve.source import source
from edgefer.serve.tensors import Batching, served
from edgefer.serve.triton_files import CONFIG, Repository, TritonOptions
from edgefer.version import __version__

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_WHOLE_16_BITS = (0, 65535)


@dataclass(frozen=True)
class TritonRepository:
    """What was written: the folder, its models with the ensemble last, and what is worth knowing about them."""

    folder: Path
    models: tuple[str, ...]
    notes: tuple[str, ...]


def write_triton(bundle: Bundle, folder: str | os.PathLike[str], options: TritonOptions) -> TritonRepository:
    """Write the models into `folder`, beside others that it may have.

    Raises:
        UsageError: the name cannot be a model's, a camera of `deep` is not one of the network's, or models of these
            names are there and are not to be replaced.
        ExportError: the bundle makes saliency maps, or a label cannot be in a file of labels.
        InputError: there is no such graph, or no such engine.
        EnvironmentMismatch: `onnx` is missing, the cache has no engine, or the folder cannot be written.
    """
    name = _name(bundle, options)
    made_from = source(bundle, options.graph, "Triton")
    _check_deep(made_from.graph, options)
    plan = take_plan(bundle, made_from.graph, options.plan) if options.plan else None
    batching = Batching(max(made_from.graph.batches) if made_from.free_batch else 0, made_from.graph.batches)
    files = Repository(made_from, name, batching, plan, options).files()
    written = write_folders(folder, files, marker=CONFIG, force=options.force)
    names = tuple(dict.fromkeys(path.split("/")[0] for path in files))
    return TritonRepository(written, names, _notes(made_from.graph, batching, plan, options))


def _name(bundle: Bundle, options: TritonOptions) -> str:
    given = options.name or (bundle.path.stem if bundle.path is not None else bundle.manifest.network.name)
    name = given if options.name else re.sub(r"[^A-Za-z0-9_.-]", "_", given).lstrip("_.-") or "network"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a model",
            hint="--name takes up to 100 letters, digits and _ . - of ASCII, the first a letter or digit",
        )
    return name


def _check_deep(graph: GraphSpec, options: TritonOptions) -> None:
    cameras = [str(spec.role) for spec in served(graph).cameras]
    for role in options.deep:
        if role not in cameras:
            raise UsageError(
                f"16 bits are asked for from the {role} camera, which the network does not have",
                hint=f"it takes images of: {', '.join(cameras) or 'no camera'}",
            )


def _notes(graph: GraphSpec, batching: Batching, plan: Plan | None, options: TritonOptions) -> tuple[str, ...]:
    """What whoever runs the server has to know."""
    notes = [f"the server's Python needs edgefer {__version__}: see requirements.txt beside the configurations"]
    notes += [
        f"the bundle has a window for {spec.role} images of 16 bits, and 8 are served: see --uint16 {spec.role}"
        for spec in served(graph).cameras
        if spec.image is not None and spec.image.window16 != _WHOLE_16_BITS and spec.role not in options.deep
    ]
    if plan is None:
        return tuple(notes)
    notes.append(f"the engine is from {plan.origin}: it loads with its own TensorRT release, on its own kind of GPU")
    if plan.plugins:
        notes.append(
            f"plugins compute {', '.join(plan.plugins)} in it: start the server with the plugin library "
            "(docs/plugin-library.md)"
        )
    if batching.most > 1:
        listed = ", ".join(map(str, sorted(graph.batches)))
        notes.append(f"the engine takes requests of exactly so many examples: {listed}")
    return tuple(notes)
