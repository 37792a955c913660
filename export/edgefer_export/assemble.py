"""From the parts of a build to a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import datetime, timezone

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import (
    CalibrationSpec,
    GateSpec,
    GraphSpec,
    Manifest,
    NetworkSpec,
    PluginSpec,
    Provenance,
)
from edgefer.readable import readable
from edgefer.version import __version__
from edgefer_export.data.feeds import Feeds
from edgefer_export.golden import Golden
from edgefer_export.networks.network import Network
from edgefer_export.operators import DOMAIN, PLUGIN_VERSION, operator_counts
from edgefer_export.spec import BuildSpec
from edgefer_export.steps import Graphs

TOOLS = ("torch", "onnx", "onnxsim", "onnxruntime", "numpy", "opencv-python")


def tool_versions() -> dict[str, str]:
    """Versions of what took part in the build; a tool that is not installed is left out."""
    versions = {"edgefer": __version__, "python": platform.python_version()}
    for name in TOOLS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def network_spec(network: Network) -> NetworkSpec:
    """The manifest's part about the network."""
    return NetworkSpec(
        name=network.name, options=dict(network.options), parameters=network.parameters, source=network.source
    )


def calibration_spec(spec: BuildSpec, feeds: Feeds) -> CalibrationSpec:
    """The manifest's part about the calibration; the feeds have been read through."""
    return CalibrationSpec(digest=feeds.digest, count=len(feeds), method=spec.method, percentile=spec.percentile_value)


def graph_spec(network: Network, graphs: Graphs, batches: tuple[int, ...]) -> GraphSpec:
    """The manifest's part about the one graph."""
    model = graphs.final.model
    return GraphSpec(
        role=network.graph_role,
        member=f"graphs/{network.graph_role}.onnx",
        inputs=network.inputs,
        outputs=graphs.outputs,
        batches=batches,
        opset=next(opset.version for opset in model.opset_import if opset.domain in {"", "ai.onnx"}),
        ir_version=model.ir_version,
        operators=tuple(operator_counts(model)),
    )


def assemble(
    network: Network,
    graphs: Graphs,
    spec: BuildSpec,
    gate: GateSpec,
    *,
    golden: Golden,
    calibration: CalibrationSpec | None,
    sources: Mapping[str, str],
    members: Mapping[str, bytes],
) -> Bundle:
    """The bundle in memory; `members` are further ones, such as the report. Nothing is written yet.

    Raises:
        BundleError: the parts contradict each other.
    """
    model = graphs.final.model
    graph = graph_spec(network, graphs, spec.batches)
    if not network.fixed_shapes:
        seen = tuple(msgspec.structs.replace(each, shape=golden.shapes[each.name]) for each in graph.outputs)
        graph = msgspec.structs.replace(graph, outputs=seen)
    manifest = Manifest(
        network=network_spec(network),
        graphs=(graph,),
        labels=network.labels,
        precision=spec.target_precision,
        gate=msgspec.structs.replace(gate, data_source=readable(gate.data_source)),
        golden=golden.spec,
        calibration=calibration,
        plugins=tuple(
            PluginSpec(name=name, version=PLUGIN_VERSION, namespace=DOMAIN, count=count)
            for name, count in operator_counts(model).items()
        ),
        plugin_policy=spec.plugins or "auto",
        provenance=Provenance(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            command=tuple(readable(word) for word in spec.command),
            tools=tool_versions(),
            sources=dict(sources),
            notes=tuple(note for step in graphs.steps for note in step.notes),
        ),
    )
    return Bundle.from_members(
        manifest, {graph.member: model.SerializeToString(deterministic=True), **golden.members, **members}
    )


def with_report(bundle: Bundle, report: bytes) -> Bundle:
    """The bundle with `report.json` added."""
    held = {name: bundle.member(name) for name in bundle.members}
    return Bundle.from_members(msgspec.structs.replace(bundle.manifest, members={}), {**held, "report.json": report})
