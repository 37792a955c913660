"""What must hold in a manifest whose saliency graph serves another graph."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgefer.bundle.manifest import GraphSpec, Manifest

SLOWEST = 1e-9
"""The least rate of a saliency graph: a run in months. One over the smallest numbers is no number of frames."""


def saliency_faults(manifest: Manifest) -> Iterator[str]:
    """Every contradiction about the saliency map, as a sentence."""
    said = manifest.saliency
    if said is None:
        return
    if not (math.isfinite(said.weight) and 0 <= said.weight <= 1):
        yield f"the weight of the saliency map is {said.weight}; it lies between 0 and 1"
    makers = [graph for graph in manifest.graphs if graph.role == "saliency"]
    if not makers:
        yield "a saliency map is used, and no graph has the role 'saliency'"
    for graph in makers:
        yield from _of_maker(graph)
    taken = [
        spec
        for graph in manifest.graphs
        if graph.role != "saliency"
        for spec in graph.inputs
        if spec.name == said.input
    ]
    if len(taken) != 1:
        yield f"the saliency map goes to the input '{said.input}', which {len(taken)} graphs have; expected one"
    for spec in taken:
        if spec.role != "saliency" or len(spec.shape) != 4 or spec.shape[1] != 1 or spec.image is None:
            yield (
                f"the saliency map goes to the input '{spec.name}', of role '{spec.role}' and shape {spec.shape}; "
                "expected an image (N, 1, H, W) of role 'saliency'"
            )


def _of_maker(graph: GraphSpec) -> Iterator[str]:
    images = [spec for spec in graph.inputs if spec.role == "visible" and spec.image is not None]
    if len(images) != 1 or len(graph.inputs) != 1:
        yield f"graph 'saliency' has {len(graph.inputs)} inputs; expected one, a visible image"
    if not SLOWEST <= graph.rate <= 1:
        yield f"graph 'saliency' has the rate {graph.rate}; it runs once a frame at most, and in 1e9 frames at least"
    if 1 not in graph.batches:
        yield f"graph 'saliency' has the batches {graph.batches}; it looks at one frame at a time"
    if not graph.outputs or len(graph.outputs[0].shape) != 4 or graph.outputs[0].shape[1] != 1:
        yield "graph 'saliency' gives no map: its first output has not the shape (N, 1, h, w)"
