"""`edgefer build-engine`: from a network to a judged bundle, its report and an engine.

The order matters: everything that can be refused is refused before long steps start; nothing is written under the
bundle's name before the verdict is known; and the bundle is written before the engine is compiled, because it is whole
without one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import CalibrationSpec
from edgefer.engine.bundle_engine import EngineResult, compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.flavours import detect
from edgefer.errors import EdgeferError
from edgefer.progress import Advance, Reporter, Silent
from edgefer_export import assemble as parts
from edgefer_export.class_means import data_of_means, locate_if_possible
from edgefer_export.data.feeds import Feeds
from edgefer_export.data.overlap import check_disjoint
from edgefer_export.evaluate import Batched, Evaluation, LogitsFunction, evaluate
from edgefer_export.gate import GateResult, judge
from edgefer_export.golden import Golden, answer, golden_inputs
from edgefer_export.networks.network import Network, Outputs, Tensors, precision_with
from edgefer_export.numeric_gate import compare_raw, judge_raw
from edgefer_export.report import compose
from edgefer_export.report.content import Report, count_layers, to_json
from edgefer_export.report.html import write_report
from edgefer_export.resolve import Resolved, resolve
from edgefer_export.result import BuildResult
from edgefer_export.runners import graph_function, logits_of
from edgefer_export.saliency_graph import EXCLUDE, SaliencyGraph, make_saliency_graph
from edgefer_export.spec import BuildSpec
from edgefer_export.steps import Graphs, make_graphs
from edgefer_export.targets import check_targets

_CONCURRENCY = 2


@dataclass(frozen=True)
class _Judged:
    """The verdict with all that was needed for it."""

    gate: GateResult
    evaluation: Evaluation
    golden: Golden
    saliency: SaliencyGraph | None = None


def build(spec: BuildSpec, reporter: Reporter | None = None) -> BuildResult:
    """Build what `spec` asks for. The report is written whatever the verdict; the bundle unless it is `fail`.

    Raises:
        UsageError: the specification cannot be met.
        EnvironmentMismatch: the flavour asked for is not on this machine, or a package is missing.
        CheckpointError, DataError, CalibrationError, ExportError: from the steps.
        CompileError: a target that was named does not take the graph; or TensorRT refused it, and the bundle has
            been written by then.
    """
    reporter = reporter or Silent()
    spec = replace(spec, batches=tuple(sorted({1, *spec.batches})))
    spec.check_files()
    if spec.flavour not in {"auto", "none"}:
        detect(spec.flavour)
    seconds: dict[str, float] = {}
    with _timed(seconds, "resolve"):
        resolved = resolve(spec, reporter)
    network = resolved.network
    spec = replace(spec, precision=precision_with(network.native, spec.target_precision))
    saliency = None
    if spec.saliency is not None:
        with _timed(seconds, "saliency graph"):
            saliency = make_saliency_graph(spec, spec.saliency, resolved, reporter)
        resolved = saliency.beside(resolved)
        spec = replace(spec, exclude=tuple(each for each in spec.exclude if not each.startswith(EXCLUDE)))
    calibration = None
    if resolved.calibration is not None:
        calibration = Feeds(resolved.calibration, network.inputs, missing=True)
    evaluation = Feeds(resolved.evaluation, network.inputs) if resolved.evaluation is not None else None
    graphs = make_graphs(network, calibration, spec, reporter, evaluation=evaluation)
    if saliency is not None:
        saliency.check_outputs(network, graphs.outputs)
    seconds.update(graphs.timings)
    graphs = check_targets(graphs, spec.targets, reporter)
    with_maps = saliency.with_maps if saliency is not None else None
    known = data_of_means(spec, network, graphs.outputs, calibration, reporter, with_maps=with_maps)
    with _timed(seconds, "gate"):
        judged = _judge(resolved, calibration, evaluation, graphs, spec, reporter=reporter, saliency=saliency)
    allowed = judged.gate.verdict != "fail" or spec.allow_over_budget
    bundle = None
    if allowed:
        located = None
        if known is not None:
            with _timed(seconds, "class means"):
                located = locate_if_possible(graph_function(graphs.final.model), known, network, spec, reporter)
        with _timed(seconds, "bundle"):
            bundle = _bundle(resolved, calibration, graphs, judged, spec)
            bundle = bundle if located is None else located.into(bundle)
            bundle = bundle if saliency is None else saliency.into(bundle, spec)
            report = _report(resolved, calibration, graphs, judged, spec, seconds)
            bundle = parts.with_report(bundle, to_json(report))
            bundle.write(_output(spec))
    elif _output(spec).exists():
        reporter.note(f"{spec.output} is the bundle of an earlier build; this one did not replace it.")
    engine: EngineResult | None = None
    try:
        if bundle is not None and spec.flavour != "none":
            with _timed(seconds, "compile"):
                cache = EngineCache(spec.cache) if spec.cache is not None else None
                engine = compile_bundle(
                    bundle,
                    spec.flavour,
                    plugins=spec.plugins,
                    reporter=reporter,
                    cache=cache,
                    engine_out=spec.engine_out,
                    workspace_bytes=spec.workspace,
                )
    except EdgeferError as error:
        raise type(error)(
            error.message,
            details=error.details,
            hint=f"{error.hint}; the bundle itself is whole and judged: {spec.output}".removeprefix("; "),
        ) from error
    finally:
        # Also when compiling failed: the verdict stands, and whoever looks into the failure wants to read it.
        report = _report(resolved, calibration, graphs, judged, spec, seconds, engine=engine, bundle=bundle)
        with reporter.task("write the report"):
            html, json_path = write_report(report, spec.report_folder)
    return BuildResult(
        bundle=_output(spec) if bundle is not None else None,
        report_html=html,
        report_json=json_path,
        verdict=judged.gate.verdict,
        reason=judged.gate.reason,
        report=report,
        engine=engine if engine is not None and engine.graphs else None,
        seconds=seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = time.perf_counter() - started


def _output(spec: BuildSpec) -> Path:
    if spec.output is None:
        raise RuntimeError("a build without an output is refused when its specification is made")
    return spec.output


def _judge(
    resolved: Resolved,
    calibration: Feeds | None,
    unseen: Feeds | None,
    graphs: Graphs,
    spec: BuildSpec,
    *,
    reporter: Reporter,
    saliency: SaliencyGraph | None = None,
) -> _Judged:
    network = resolved.network
    reference = network.reference()
    functions = {step.name: graph_function(step.model) for step in graphs.steps}
    with reporter.task("golden inputs"):
        golden = answer(
            network,
            saliency.golden_inputs(network)
            if saliency is not None
            else golden_inputs(network, resolved.evaluation if spec.golden_from_data else None),
            (reference, functions[graphs.final.name]),
            spec.target_precision,
            synthetic=not spec.golden_from_data,
        )
    if network.logits is None:
        forms = {network.reference_name: reference, **functions}
        judged = _judge_raw(network, forms, unseen, golden, spec, reporter=reporter, saliency=saliency)
        if calibration is not None:
            check_disjoint(calibration.records, judged.evaluation.records)
        return judged
    if saliency is not None and unseen is not None:
        functions = saliency.forms(functions)
    first = network.reference_name
    runners: dict[str, LogitsFunction | Batched] = {first: Batched(logits_of(reference, network.logits))}
    runners.update({name: logits_of(function, network.logits) for name, function in functions.items()})
    if unseen is None:
        with reporter.task("compare the steps"):
            evaluation = _on_golden(network, golden, runners)
    else:
        if saliency is None:
            evaluation = evaluate(unseen, runners, reporter=reporter, concurrency=_CONCURRENCY)
        else:
            evaluation = saliency.evaluate(unseen, runners, first, reporter, concurrency=_CONCURRENCY)
        if calibration is not None:
            check_disjoint(calibration.records, evaluation.records)
    gate = judge(
        evaluation.logits[first],
        {name: evaluation.logits[name] for name in functions},
        evaluation.labels,
        network.labels,
        spec.budget,
        reference_name=first,
    )
    return _Judged(gate if saliency is None else saliency.judged_with(gate), evaluation, golden, saliency)


def _judge_raw(
    network: Network,
    forms: Mapping[str, Callable[[Tensors], Outputs]],
    unseen: Feeds | None,
    golden: Golden,
    spec: BuildSpec,
    *,
    reporter: Reporter,
    saliency: SaliencyGraph | None,
) -> _Judged:
    """The verdict on a graph without logits, on the evaluation data or else on the golden inputs."""
    examples = unseen if unseen is not None else _golden_examples(network, golden)
    started = time.perf_counter()
    with reporter.task("compare the steps", golden.spec.count if unseen is None else len(unseen)) as advance:
        counted = _counted(examples, advance)
        if saliency is None or unseen is None:
            found = compare_raw(forms, counted)
        else:
            found = saliency.compare_raw(unseen, counted, saliency.forms(forms))
    gate = judge_raw(found, spec.budget)
    evaluation = Evaluation(
        logits={},
        labels=None,
        class_names=(),
        records=() if unseen is None else unseen.records,
        seconds={"all": time.perf_counter() - started},
        source="golden inputs" if unseen is None else unseen.dataset.source,
    )
    return _Judged(gate if saliency is None else saliency.judged_with(gate), evaluation, golden, saliency)


def _counted(examples: Iterable[Tensors], advance: Advance) -> Iterator[Tensors]:
    for tensors in examples:
        yield tensors
        advance(1)


def _golden_examples(network: Network, golden: Golden) -> list[dict[str, npt.NDArray[np.float32]]]:
    return [
        {spec.name: golden.tensors[spec.name][index : index + 1] for spec in network.inputs}
        for index in range(golden.spec.count)
    ]


def _on_golden(network: Network, golden: Golden, runners: dict[str, LogitsFunction | Batched]) -> Evaluation:
    """Without evaluation data the forms of the network are compared on the golden inputs, which have no labels."""
    feeds = _golden_examples(network, golden)
    logits, seconds = {}, {}
    for name, runner in runners.items():
        function = runner.function if isinstance(runner, Batched) else runner
        started = time.perf_counter()
        logits[name] = np.concatenate([np.asarray(function(tensors), np.float32) for tensors in feeds])
        seconds[name] = time.perf_counter() - started
    return Evaluation(
        logits=logits, labels=None, class_names=network.labels, records=(), seconds=seconds, source="golden inputs"
    )


def _bundle(resolved: Resolved, calibration: Feeds | None, graphs: Graphs, judged: _Judged, spec: BuildSpec) -> Bundle:
    sources = {}
    if resolved.checkpoint is not None:
        sources["weights"] = resolved.checkpoint.sha256
    if resolved.network.digest is not None:
        sources["network"] = resolved.network.digest
    if resolved.evaluation is not None:
        sources["evaluation"] = judged.evaluation.digest
    return parts.assemble(
        resolved.network,
        graphs,
        spec,
        judged.gate.spec(
            data_digest=sources.get("evaluation", ""),
            data_source=judged.evaluation.source,
            over_budget_allowed=judged.gate.verdict == "fail",
        ),
        golden=judged.golden,
        calibration=_calibration(calibration, spec),
        sources=sources,
        members={},
    )


def _calibration(calibration: Feeds | None, spec: BuildSpec) -> CalibrationSpec | None:
    return None if calibration is None else parts.calibration_spec(spec, calibration)


def _report(
    resolved: Resolved,
    calibration: Feeds | None,
    graphs: Graphs,
    judged: _Judged,
    spec: BuildSpec,
    seconds: dict[str, float],
    *,
    engine: EngineResult | None = None,
    bundle: Bundle | None = None,
) -> Report:
    network, gate, evaluation = resolved.network, judged.gate, judged.evaluation
    layers = compose.graph_layers(graphs.final.model, graphs.quantised)
    summary = compose.engine_summary(engine)
    calibrated = None
    if calibration is not None and graphs.quantised is not None and spec.calibration is not None:
        calibrated = compose.calibration_report(
            graphs.quantised, spec.calibration, calibration.digest, spec.method, spec.percentile_value
        )
    digests = {f"graph {step.name}": _sha256(step.model.SerializeToString(deterministic=True)) for step in graphs.steps}
    if resolved.checkpoint is not None:
        digests["weights"] = resolved.checkpoint.sha256
    if network.digest is not None:
        digests["network"] = network.digest
    if bundle is not None:
        digests["bundle"] = bundle.digest
    graph = judged.saliency
    if graph is not None:
        digests["saliency weights"] = graph.checkpoint.sha256
    further = {"saliency graph": graph.graphs.final.bytes if graph is not None else 0}
    further |= {
        "bundle": len(bundle.to_bytes()) if bundle is not None else 0,
        "engine": summary.bytes if summary else 0,
    }
    return Report(
        title=f"{network.name}, {spec.target_precision}",
        verdict=gate.verdict,
        reason=gate.reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=spec.command,
        network=parts.network_spec(network),
        precision=spec.target_precision,
        labels=network.labels,
        inputs=network.inputs,
        budget=gate.budget,
        checks=compose.budget_checks(gate),
        blamed_step=gate.blamed_step,
        images_to_decide=gate.images_to_decide,
        over_budget_allowed=gate.verdict == "fail" and spec.allow_over_budget,
        steps=compose.step_reports(gate, evaluation, graphs.steps),
        calibration=calibrated,
        evaluation=compose.evaluation_report(evaluation) if resolved.evaluation is not None else None,
        layers=layers,
        layer_counts=count_layers(layers),
        engine=summary,
        sizes=compose.sizes(graphs.steps, further),
        seconds=dict(seconds),
        digests=digests,
        environment=parts.tool_versions(),
        notes=engine.notes if engine is not None and not engine.graphs else (),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
