"""What is measured: a graph of a bundle, with what its build said about it."""

from __future__ import annotations

from edgefer.benchmark.result import Subject
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec


def subject(bundle: Bundle, graph: GraphSpec) -> Subject:
    """The record of a graph. Accuracy and agreement are shares, of the build's last step; None without labels."""
    manifest = bundle.manifest
    last = manifest.gate.steps[-1] if manifest.gate.steps else None
    accuracy = None if last is None or last.correct is None or not last.count else last.correct / last.count
    return Subject(
        bundle=str(bundle.path) if bundle.path else "",
        digest=bundle.digest,
        network=manifest.network.name,
        options=dict(manifest.network.options),
        parameters=manifest.network.parameters,
        precision=manifest.precision,
        graph=graph.role,
        inputs={spec.name: spec.shape for spec in graph.inputs},
        verdict=manifest.gate.verdict,
        accuracy=accuracy,
        agreement=None if last is None else last.agreement,
    )
