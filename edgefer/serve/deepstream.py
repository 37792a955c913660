"""From a bundle of one camera to a folder for DeepStream: nvinfer.txt, labels.txt, and the model.

The keys are those of NVIDIA, DeepStream SDK developer guide, "Gst-nvinfer", group `property`. Nobody has run them here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import ImageSpec, InputSpec, Manifest
from edgefer.errors import ExportError, UsageError
from edgefer.serve.labels import in_one_line
from edgefer.serve.nvinfer_image import image_keys, image_notes
from edgefer.serve.plan import Plan, take_plan
from edgefer.serve.probabilities import PROBABILITIES, with_probabilities
from edgefer.serve.publish import write_folder
from edgefer.serve.source import Source, source
from edgefer.version import __version__

CONFIG, LABELS, ONNX, ENGINE = "nvinfer.txt", "labels.txt", "model.onnx", "model.engine"
DEFAULT_LIBRARY = "/usr/local/lib/libedgefer_plugins_autoregister.so"
"""Where the plugin library is after its installation; nvinfer only opens it, so it must register by itself."""

_MODES = {"fp32": 0, "int8": 1, "fp16": 2, "int8+fp16": 1}
_CLASSIFIER, _OTHER = 1, 100
Part = tuple[dict[str, bytes], dict[str, str]]
"""Files, and the keys that name them."""

_ONE_CAMERA = "serve it by `edgefer triton`, whose pre-processing takes both cameras, or embed a Session"


@dataclass(frozen=True)
class DeepStreamOptions:
    """How a configuration is made.

    Args:
        graph: the role of the graph that is run; None is the first.
        plan: "" for ONNX; the file of a TensorRT engine, or "cached" for that of this machine's cache.
        plugin_library: the library on the device, for an engine with plugins; "" is `DEFAULT_LIBRARY` where the engine
            is known to have some.
        threshold: the least probability that nvinfer attaches, 0..1.
        objects_of: the gie-unique-id of the detector whose objects are classified; None classifies whole frames.
        force: replace a folder that was written before.
    """

    graph: str | None = None
    plan: str = ""
    plugin_library: str = ""
    threshold: float = 0.0
    objects_of: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise UsageError(f"the threshold is {self.threshold:g}", hint="give a probability from 0, and below 1")
        if self.objects_of is not None and self.objects_of < 1:
            raise UsageError(f"the gie-unique-id is {self.objects_of}", hint="those of detectors count from 1")
        if self.plugin_library and not self.plan:
            raise UsageError("a plugin library is given, and no engine", hint="add --plan, or leave the library out")
        if self.plugin_library and not self.plugin_library.isprintable():
            raise UsageError(f"the plugin library is {self.plugin_library!r}, which cannot be written on a line")


@dataclass(frozen=True)
class DeepStreamFolder:
    """What was written: the folder, its files, and what is worth knowing about them."""

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]


def write_deepstream(bundle: Bundle, folder: str | os.PathLike[str], options: DeepStreamOptions) -> DeepStreamFolder:
    """Write the folder, whole or not at all.

    Raises:
        ExportError: nvinfer cannot run the network as the bundle says: it takes two cameras or none, has no logits, or
            its pre-processing is beyond it; or it is INT8 and no engine is given.
        UsageError: the folder exists and is not to be replaced.
        InputError: there is no such graph, or no such engine.
        EnvironmentMismatch: `onnx` is missing, the cache has no engine, or the folder cannot be written.
    """
    made_from = source(bundle, options.graph, "DeepStream")
    spec, image = _camera(made_from)
    keys = image_keys(spec, image)
    if made_from.logits is None:
        raise ExportError(
            f"graph '{made_from.graph.role}' has no logits, and nvinfer is configured as a classifier",
            hint="serve it by `edgefer triton`, which gives its raw outputs",
        )
    plan = take_plan(bundle, made_from.graph, options.plan) if options.plan else None
    labels = in_one_line(bundle.manifest.labels)
    if plan is None:
        files, model = _compiled_there(made_from, made_from.logits.name, options)
    else:
        files, model = _compiled_here(made_from, made_from.logits.name, plan, options)
    files |= {LABELS: labels, CONFIG: _text(bundle.manifest, keys | model | _place(options))}
    written = write_folder(folder, files, marker=CONFIG, force=options.force)
    return DeepStreamFolder(written, tuple(sorted(files)), tuple(_notes(image, plan, options)))


def _camera(made_from: Source) -> tuple[InputSpec, ImageSpec]:
    inputs = made_from.graph.inputs
    if len(inputs) != 1:
        listed = ", ".join(f"'{spec.name}' ({spec.role})" for spec in inputs) or "none"
        raise ExportError(
            f"nvinfer feeds one image to a network, and this one has the inputs {listed}", hint=_ONE_CAMERA
        )
    image = inputs[0].image
    if image is None or len(inputs[0].shape) != 4:
        raise ExportError(
            f"nvinfer feeds images, and input '{inputs[0].name}' {inputs[0].shape} is none", hint=_ONE_CAMERA
        )
    return inputs[0], image


def _compiled_there(made_from: Source, logits: str, options: DeepStreamOptions) -> Part:
    """For nvinfer to compile: the graph with its softmax."""
    manifest = made_from.bundle.manifest
    if manifest.precision.startswith("int8"):
        raise ExportError(
            f"the bundle is {manifest.precision} with Q/DQ in its graph, and nvinfer builds INT8 from a calibration "
            "file only: without one it falls back to FP16, in which TensorRT refuses Q/DQ",
            hint="compile it with `edgefer build-engine BUNDLE` on the device, and add --plan cached",
        )
    batch = max(made_from.graph.batches) if made_from.free_batch else min(made_from.graph.batches)
    mode = _MODES[manifest.precision]
    keys = {
        "onnx-file": ONNX,
        # By this name nvinfer keeps what it has built, and finds it again.
        "model-engine-file": f"{ONNX}_b{batch}_gpu0_{'fp16' if mode else 'fp32'}.engine",
        "labelfile-path": LABELS,
        "batch-size": str(batch),
        "network-mode": str(mode),
        "network-type": str(_CLASSIFIER),
        "output-blob-names": PROBABILITIES,
        "classifier-threshold": repr(float(options.threshold)),
    }
    return {ONNX: with_probabilities(made_from.onnx, logits, manifest.temperature)}, keys


def _compiled_here(made_from: Source, logits: str, plan: Plan, options: DeepStreamOptions) -> Part:
    """An engine gives logits, which nvinfer's classifier would take for probabilities: it only passes them on."""
    if options.threshold:
        raise UsageError(
            "a threshold is given with an engine, which answers with logits",
            hint="leave it out and compare after the softmax, or leave --plan out",
        )
    if ";" in logits:
        raise ExportError(f"the output '{logits}' has a semicolon in its name, which nvinfer splits names at")
    library = options.plugin_library or (DEFAULT_LIBRARY if plan.plugins else "")
    keys = {
        "model-engine-file": ENGINE,
        "labelfile-path": LABELS,
        # nvinfer runs the first profile, and each is of one batch size.
        "batch-size": str(made_from.graph.batches[0]),
        "network-mode": str(_MODES[made_from.bundle.manifest.precision]),
        "network-type": str(_OTHER),
        "output-blob-names": logits,
        "output-tensor-meta": "1",
        **({"custom-lib-path": library} if library else {}),
    }
    return {ENGINE: plan.content}, keys


def _place(options: DeepStreamOptions) -> dict[str, str]:
    if options.objects_of is None:
        return {"process-mode": "1", "gie-unique-id": "1"}
    return {
        "process-mode": "2",
        "gie-unique-id": str(options.objects_of + 1),
        "operate-on-gie-id": str(options.objects_of),
    }


def _text(manifest: Manifest, keys: dict[str, str]) -> bytes:
    name = "".join(letter if letter.isprintable() else " " for letter in manifest.network.name)
    lines = [
        f"# {name} ({manifest.precision}), written by edgefer {__version__}.",
        "# Paths are beside this file.",
        "",
        "[property]",
        "gpu-id=0",
        *(f"{key}={value}" for key, value in keys.items()),
    ]
    return ("\n".join(lines) + "\n").encode()


def _notes(image: ImageSpec, plan: Plan | None, options: DeepStreamOptions) -> list[str]:
    notes = list(image_notes(image))
    if plan is None:
        return notes
    notes.append(f"the engine is from {plan.origin}: it loads with its own TensorRT release, on its own kind of GPU")
    notes.append("nvinfer attaches the engine's logits as raw tensors: the application makes the softmax")
    if plan.plugins is None and not options.plugin_library:
        notes.append("if the engine has plugins, name their library by --plugin-library (docs/plugin-library.md)")
    return notes
