"""What an engine is, for the terminal and for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgefer.engine.bundle_engine import EngineResult


def engine_payload(result: EngineResult) -> dict[str, Any]:
    """What `--json` says of the engines of a bundle."""
    return {
        "flavour": result.flavour,
        "version": result.version,
        "path": result.path,
        "cached": result.cached,
        "notes": result.notes,
        "trtexec": result.trtexec,
        "graphs": [
            {
                "role": graph.role,
                "path": graph.path,
                "copy": graph.copy,
                "cached": graph.cached,
                "bytes": graph.report.plan_bytes,
                "layers": graph.report.counts.per_precision,
                "layer_count": graph.report.counts.total,
                "reformats": graph.report.counts.reformats,
                "plugin_layers": graph.report.counts.plugins,
                "plugins": graph.report.decision,
                "fused_attention": graph.report.fused_attention,
                "workspace": graph.report.workspace,
                "timing_cache": graph.report.timing_cache,
                "seconds": graph.report.seconds,
                "trtexec": graph.trtexec,
            }
            for graph in result.graphs
        ],
    }


def engine_facts(result: EngineResult) -> list[tuple[str, str]]:
    """The engines as names and values, for `output.facts`."""
    pairs: list[tuple[str, str]] = []
    for graph in result.graphs:
        report = graph.report
        size = f"{report.plan_bytes / 1e6:.2f} MB"
        pairs.append(
            ("engine", f"{graph.role}, {result.flavour} {result.version}, {report.counts.total} layers, {size}")
        )
        if report.decision is not None:
            pairs += [("plugins", line) for line in report.decision.lines()]
        if report.fused_attention is not None:
            pairs.append(("attention", report.fused_attention.text()))
        if report.workspace is not None and report.workspace.warning:
            pairs.append(("workspace", report.workspace.warning))
        pairs.append(("plan", f"{graph.path}{' (from the cache)' if graph.cached else ''}"))
        pairs.append(("copy", str(graph.copy or "")))
    return [*pairs, *(("note", note) for note in result.notes)]
