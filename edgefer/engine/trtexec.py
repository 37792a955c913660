"""The command line that builds the same engine with NVIDIA's own tool, to check or to go on without edgefer."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from edgefer.bundle.manifest import GraphSpec
from edgefer.engine.compile import DEFAULT_WORKSPACE_BYTES
from edgefer.engine.flavours import FlavourName

BINARIES: dict[FlavourName, str] = {"tensorrt": "trtexec", "tensorrt_rtx": "tensorrt_rtx"}

PLUGIN_LIBRARY = "libedgefer_plugins.so"


def trtexec_command(
    graph: GraphSpec,
    onnx: str | os.PathLike[str],
    engine: str | os.PathLike[str],
    *,
    flavour: FlavourName = "tensorrt",
    dynamic: bool | None = None,
    workspace_bytes: int = DEFAULT_WORKSPACE_BYTES,
    plugins: bool = False,
) -> str:
    """One line for a POSIX shell that reads `onnx` and writes `engine`.

    Shapes are given only where the batch is `dynamic`, one profile per batch: the tool refuses them for a graph of
    fixed shape. None takes a graph with several batches for dynamic. TensorRT-RTX has its own binary, which knows
    strong typing only and therefore has no flag for it. A graph with `plugins` needs edgefer's plugin
    library, which the line names by its file's name alone: see docs/plugin-library.md.
    """
    parts = [BINARIES[flavour], f"--onnx={os.fspath(onnx)}"]
    if flavour == "tensorrt":
        parts += ["--stronglyTyped", "--noTF32", "--skipInference"]
    if plugins:
        parts.append(f"--dynamicPlugins={PLUGIN_LIBRARY}")
    if (len(graph.batches) > 1) if dynamic is None else dynamic:
        for index, batch in enumerate(graph.batches):
            shapes = _shapes(graph, batch)
            parts += [f"--profile={index}"] if len(graph.batches) > 1 else []
            parts += [f"--{bound}Shapes={shapes}" for bound in ("min", "opt", "max")]
    parts.append(f"--memPoolSize=workspace:{_mebibytes(workspace_bytes)}")
    parts += ["--profilingVerbosity=detailed", f"--saveEngine={os.fspath(engine)}"]
    return shlex.join(parts)


def _shapes(graph: GraphSpec, batch: int) -> str:
    return ",".join(f"{each.name}:{_joined((batch, *each.shape[1:]))}" for each in graph.inputs)


def _joined(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _mebibytes(size: int) -> str:
    # The tool's own unit when none is given; fractions are allowed.
    return f"{size / (1 << 20):g}"
