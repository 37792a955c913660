"""What must hold between the fields of a manifest, beyond each being of its type."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator

from edgefer.bundle.embedding_faults import embedding_faults
from edgefer.bundle.image_faults import image_faults
from edgefer.bundle.manifest import GraphSpec, InputSpec, Manifest
from edgefer.bundle.saliency_faults import saliency_faults

CAMERAS = ("visible", "infrared")


def faults(manifest: Manifest, members: Collection[str]) -> list[str]:
    """Every contradiction in the manifest of a bundle with these members, as sentences; empty where there is none."""
    found = [*_of_labels(manifest), *_of_graphs(manifest, members), *_of_golden(manifest, members)]
    found += embedding_faults(manifest, members)
    found += saliency_faults(manifest)
    if not (math.isfinite(manifest.temperature) and manifest.temperature > 0):
        found.append(f"the temperature is {manifest.temperature}; it must be above 0")
    return found


def _of_labels(manifest: Manifest) -> Iterator[str]:
    yield from (f"the label '{label}' occurs {n} times" for label, n in Counter(manifest.labels).items() if n > 1)
    if not all(manifest.labels):
        yield "a label is empty"
    for graph in manifest.graphs:
        for output in graph.outputs:
            if output.role == "logits" and (len(output.shape) != 2 or output.shape[1] != len(manifest.labels)):
                yield (
                    f"output '{output.name}' of graph '{graph.role}' has the shape {output.shape}, and there are "
                    f"{len(manifest.labels)} labels: logits are (N, {len(manifest.labels)})"
                )


def _of_graphs(manifest: Manifest, members: Collection[str]) -> Iterator[str]:
    if not manifest.graphs:
        yield "there is no graph"
    roles = Counter(graph.role for graph in manifest.graphs)
    yield from (f"{count} graphs have the role '{role}'" for role, count in roles.items() if count > 1)
    for graph in manifest.graphs:
        where = f"graph '{graph.role}'"
        if graph.member not in members:
            yield f"{where} is said to be in member '{graph.member}', which is missing"
        if not (math.isfinite(graph.rate) and graph.rate > 0):
            yield f"{where} has the rate {graph.rate}; it must be above 0"
        if not graph.batches or any(batch < 1 for batch in graph.batches):
            yield f"{where} has the batches {graph.batches}; there must be one, and each at least 1"
        yield from (f"{where}: {fault}" for fault in _of_tensors(graph))
        for spec in graph.inputs:
            yield from (f"{where}: input '{spec.name}' {fault}" for fault in _of_input(spec))


def _of_tensors(graph: GraphSpec) -> Iterator[str]:
    if not graph.outputs:
        yield "there is no output"
    names = Counter([spec.name for spec in graph.inputs] + [spec.name for spec in graph.outputs])
    yield from (f"{count} tensors are named '{name}'" for name, count in names.items() if count > 1)
    roles = Counter(spec.role for spec in graph.inputs if spec.role != "other")
    yield from (f"{count} inputs have the role '{role}'" for role, count in roles.items() if count > 1)
    if sum(output.role == "logits" for output in graph.outputs) > 1:
        yield "more than one output has the role 'logits'"
    tensors = [(spec.name, spec.shape) for spec in graph.inputs] + [(spec.name, spec.shape) for spec in graph.outputs]
    for name, shape in tensors:
        if not name:
            yield "a tensor has an empty name"
        # A tensor of no elements is of use to nobody, but is one.
        if not shape or shape[0] < 1 or any(axis < 0 for axis in shape):
            yield f"'{name}' has the shape {shape}; its first axis must be at least 1, and no other below 0"
    for spec in graph.inputs:
        if graph.batches and spec.shape and spec.shape[0] != min(graph.batches):
            yield f"'{spec.name}' has the shape {spec.shape}; its first axis must be {min(graph.batches)}"


def _of_input(spec: InputSpec) -> Iterator[str]:
    if spec.role in CAMERAS and any(axis < 1 for axis in spec.shape):
        yield f"is a camera and has the shape {spec.shape}; every axis must be at least 1"
    if spec.role in CAMERAS and len(spec.shape) != 4:
        yield f"is a camera and has the shape {spec.shape}, expected (N, C, H, W)"
    if spec.role == "present" and spec.shape[1:] != (len(CAMERAS),):
        yield f"is the modality mask and has the shape {spec.shape}, expected (N, {len(CAMERAS)})"
    yield from image_faults(spec)


def _of_golden(manifest: Manifest, members: Collection[str]) -> Iterator[str]:
    golden = manifest.golden
    if golden is None:
        return
    if golden.count < 1:
        yield f"there are {golden.count} golden inputs"
    if not (math.isfinite(golden.tolerance) and golden.tolerance >= 0):
        yield f"the golden tolerance is {golden.tolerance}; it must not be negative"
    for name, tolerance in golden.tolerances.items():
        if name not in golden.expected or not (math.isfinite(tolerance) and tolerance >= 0):
            yield f"the golden tolerance of '{name}' is {tolerance}; expected 0 or more, for an output with answers"
    inputs = {spec.name for graph in manifest.graphs for spec in graph.inputs}
    outputs = {spec.name for graph in manifest.graphs for spec in graph.outputs}
    for kind, table, known in (
        ("input", golden.inputs, inputs),
        ("reference", golden.reference, outputs),
        ("expected", golden.expected, outputs),
    ):
        for name, member in table.items():
            if name not in known:
                yield f"the golden {kind} '{name}' names no tensor of a graph"
            if member not in members:
                yield f"the golden {kind} '{name}' is said to be in member '{member}', which is missing"
