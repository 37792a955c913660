"""What must hold between `embedding` and the rest of a manifest."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from edgefer.bundle.manifest import Manifest


def embedding_faults(manifest: Manifest, members: Collection[str]) -> Iterator[str]:
    """Every contradiction between where the classes are said to lie and the graphs, labels and members; none where the
    manifest does not say it. What is in the member with the means is looked at when the bundle is verified or run."""
    embedding = manifest.embedding
    if embedding is None:
        return
    found = [output for graph in manifest.graphs for output in graph.outputs if output.name == embedding.output]
    if not found:
        yield f"the embedding '{embedding.output}' is no output of a graph"
    yield from (
        f"the embedding '{output.name}' has the shape {output.shape}, expected (N, D)"
        for output in found
        if len(output.shape) != 2
    )
    if not any(output.role == "logits" for graph in manifest.graphs for output in graph.outputs):
        yield "there are classes in the embedding, and no logits to name them"
    if embedding.means not in members:
        yield f"the means of the classes are said to be in member '{embedding.means}', which is missing"
    if len(embedding.spread) != len(manifest.labels):
        yield f"there are {len(embedding.spread)} spreads of classes for {len(manifest.labels)} labels"
    # Distances are in units of a spread: one over it has to be a number, too.
    if not all(math.isfinite(spread) and spread > 0 and math.isfinite(1 / spread) for spread in embedding.spread):
        yield f"the spreads of the classes are {embedding.spread}; each must be above 0, and not by less than 1e-308"
    if not (math.isfinite(embedding.reject_beyond) and embedding.reject_beyond > 0):
        yield f"the distance from which a sample is of no class is {embedding.reject_beyond}; it must be above 0"
    if not 0 < embedding.kept <= 1:
        yield f"the share of known samples kept is {embedding.kept}; it must be above 0 and at most 1"
    if embedding.count < len(manifest.labels):
        yield f"the means are said to come from {embedding.count} samples of {len(manifest.labels)} classes"
