"""The second graph of a build: ML-Net beside a classifier that takes its maps, in one bundle.

It goes through the steps of any graph, and its verdict is on its raw output. The classifier is then calibrated on maps
of the graph as it will be deployed, and judged with them; the network itself and the steps that only rewrite its graph
get the maps of the saliency network in FP32, so that what quantising both graphs costs is in the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import NetworkSpec, OutputSpec, SaliencySpec
from edgefer.errors import UsageError
from edgefer.progress import Advance, Reporter
from edgefer.runtime.saliency_map import MapMaker
from edgefer_export import assemble as parts
from edgefer_export.blame import EXACT_STEPS
from edgefer_export.checkpoint import CheckpointReport
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.evaluate import Batched, Evaluation, LogitsFunction, evaluate
from edgefer_export.gate import GateResult
from edgefer_export.golden import COUNT, Golden, answer, golden_count, golden_inputs, joined
from edgefer_export.network_argument import classify
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.networks.network import Network, Outputs, Tensors
from edgefer_export.numeric_gate import RawErrors, compare_raw, judge_raw
from edgefer_export.resolve import Resolved
from edgefer_export.runners import graph_function
from edgefer_export.saliency_maps import WithSaliency, load_saliency_network, map_maker, takes_map
from edgefer_export.spec import BuildSpec
from edgefer_export.steps import Graphs, make_graphs
from edgefer_export.targets import check_targets

PREFIX = "saliency graph"
EXCLUDE = "saliency:"
"""What stands before an expression of `exclude` that is about the nodes of this graph."""

MAPS = "deployed maps"
"""The step at which the maps become those of the graph that gets deployed."""

Function = Callable[[Tensors], Outputs]

_JUDGED = 32
"""Samples that its output is compared on: it costs a hundred times what a classifier does."""
_GOLDEN_BYTES = 8 << 20
_GOLDEN_SEED = 20251


@dataclass(frozen=True)
class SaliencyGraph:
    """The saliency network of a build with its graphs and the verdict on them.

    `reference` and `deployed` make maps with the network in FP32 and with the graph that gets deployed; they are the
    same where nothing is lost. `evaluation` is the data without maps, `golden_data` what the golden inputs are of.
    """

    network: LoadedNetwork
    checkpoint: CheckpointReport
    graphs: Graphs
    gate: GateResult
    golden: Golden
    golden_data: Dataset
    reference: MapMaker
    deployed: MapMaker
    evaluation: Dataset | None

    def beside(self, resolved: Resolved) -> Resolved:
        """What was resolved for the classifier, its data with the maps of the deployed graph."""
        calibration, evaluation = (
            None if data is None else self.with_maps(data) for data in (resolved.calibration, resolved.evaluation)
        )
        return replace(resolved, calibration=calibration, evaluation=evaluation)

    def with_maps(self, data: Dataset) -> Dataset:
        """The data with the maps of the deployed graph."""
        return WithSaliency(data, self.deployed)

    def check_outputs(self, network: Network, outputs: Sequence[OutputSpec]) -> None:
        """That no output of the classifier, known once it is exported, is called as one of this graph.

        Raises:
            UsageError: one is.
        """
        if twice := sorted({each.name for each in outputs} & {each.name for each in self.graphs.outputs}):
            raise UsageError(
                f"{network.name} has an output `{twice[0]}`, as the saliency network has; golden outputs go by names.",
                hint="Call it otherwise.",
            )

    def golden_inputs(self, network: Network) -> dict[str, Any]:
        """Those of the classifier: the same faces, with the maps of the deployed graph."""
        return golden_inputs(network, self.with_maps(self.golden_data), most=self.golden.spec.count)

    def forms(self, functions: Mapping[str, Function]) -> dict[str, Function]:
        """The steps of the classifier's graph, with one more where the maps become those of the deployed graph, so that
        what each of the two loses can be told apart."""
        every: dict[str, Function] = {}
        for name, function in functions.items():
            if every and name not in EXACT_STEPS and MAPS not in every and self.reference is not self.deployed:
                every[MAPS] = list(every.values())[-1]
            every[name] = function
        return every

    def evaluate(
        self,
        unseen: Feeds,
        runners: Mapping[str, LogitsFunction | Batched],
        first: str,
        reporter: Reporter,
        *,
        concurrency: int,
    ) -> Evaluation:
        """The logits of all forms of the classifier: of `first`, the network itself, and of the steps that only rewrite
        its graph with the maps of the saliency network, of the others with those of its deployed graph."""
        exact = {name: runner for name, runner in runners.items() if name == first or name in EXACT_STEPS}
        lossy = {name: runner for name, runner in runners.items() if name not in exact}
        if self.reference is self.deployed or self.evaluation is None or not lossy:
            return evaluate(unseen, runners, reporter=reporter, concurrency=concurrency)
        better = Feeds(WithSaliency(self.evaluation, self.reference), unseen.inputs)
        before = evaluate(better, exact, reporter=reporter, concurrency=concurrency)
        after = evaluate(unseen, lossy, reporter=reporter, concurrency=concurrency)
        logits, seconds = {**before.logits, **after.logits}, {**before.seconds, **after.seconds}
        return replace(after, logits=logits, seconds=seconds)

    def compare_raw(
        self, unseen: Feeds, examples: Iterable[Tensors], forms: Mapping[str, Function]
    ) -> dict[str, RawErrors]:
        """The raw outputs of all forms of the classifier on `examples`, one of `unseen` each: maps as in `evaluate`."""
        if self.reference is self.deployed or self.evaluation is None:
            return compare_raw(forms, examples)
        better = Feeds(WithSaliency(self.evaluation, self.reference), unseen.inputs)
        exact = {next(iter(forms)), *EXACT_STEPS}
        paired = {name: _taking(function, 0 if name in exact else 1) for name, function in forms.items()}
        return compare_raw(paired, zip(better, examples, strict=True))

    def judged_with(self, gate: GateResult) -> GateResult:
        """The verdict on both graphs: that on the classifier, unless the saliency graph has failed."""
        own = f"The {PREFIX}: {self.gate.reason}"
        if self.gate.verdict == "fail":
            return replace(gate, verdict="fail", reason=own, blamed_step=f"{PREFIX}, {self.gate.blamed_step}")
        return replace(gate, reason=f"{gate.reason} {own}")

    def into(self, bundle: Bundle, spec: BuildSpec) -> Bundle:
        """The classifier's bundle with this graph added.

        Raises:
            BundleError: the parts contradict each other.
        """
        manifest, model = bundle.manifest, self.graphs.final.model
        graph = parts.graph_spec(self.network, self.graphs, (1,))
        graph = msgspec.structs.replace(graph, rate=1 / spec.saliency_every)
        taken = next(taken for each in manifest.graphs if (taken := takes_map(each.inputs)) is not None)
        figures = tuple(msgspec.structs.replace(step, step=f"{PREFIX}, {step.step}") for step in self.gate.steps)
        made = manifest.provenance
        provenance = msgspec.structs.replace(
            made,
            sources={**made.sources, f"{PREFIX} weights": self.checkpoint.sha256},
            notes=(*made.notes, *(f"{PREFIX}: {note}" for step in self.graphs.steps for note in step.notes)),
        )
        manifest = msgspec.structs.replace(
            manifest,
            graphs=(*manifest.graphs, graph),
            gate=msgspec.structs.replace(manifest.gate, steps=(*figures, *manifest.gate.steps)),
            golden=None if manifest.golden is None else joined(manifest.golden, self.golden.spec),
            saliency=SaliencySpec(
                input=taken.name,
                weight=_weight(manifest.network),
                network=parts.network_spec(self.network),
            ),
            provenance=provenance,
            members={},
        )
        held = {name: bundle.member(name) for name in bundle.members}
        added = {graph.member: model.SerializeToString(deterministic=True), **self.golden.members}
        return Bundle.from_members(manifest, {**held, **added})


def make_saliency_graph(spec: BuildSpec, weights: Path, resolved: Resolved, reporter: Reporter) -> SaliencyGraph:
    """The second graph of a build, made of the checkpoint `weights` and judged.

    Raises:
        UsageError: the network takes no map, or ml-net has not an option that was given.
        CheckpointError: the checkpoint cannot be read, or is of another network.
        DataError, CalibrationError, ExportError, CompileError: from the steps.
    """
    if takes_map(resolved.network.inputs) is None:
        raise UsageError(
            f"{spec.network} takes no saliency map, so `--saliency` cannot apply.",
            hint="Networks such as saliency-alexnet take one, with --option saliency=true.",
        )
    told = _Prefixed(reporter)
    network, checkpoint = load_saliency_network(weights, spec.saliency_options, reporter=told)
    if twice := {each.name for each in network.inputs} & {each.name for each in resolved.network.inputs}:
        raise UsageError(
            f"{spec.network} has an input `{twice.pop()}`, as the saliency network has; golden inputs go by names.",
            hint="Call it otherwise.",
        )
    patterns = tuple(each.removeprefix(EXCLUDE) for each in spec.exclude if each.startswith(EXCLUDE))
    own = replace(spec, exclude=patterns, batches=(1,))
    if classify(spec.network) != "registered":
        # The saliency network is a registered one, whatever the classifier is: it is not searched for attention.
        own = replace(own, fuse_attention="off")
    calibration, evaluation = (
        None if data is None else Feeds(data, network.inputs) for data in (resolved.calibration, resolved.evaluation)
    )
    graphs = make_graphs(network, calibration, own, told, evaluation=evaluation)
    graphs = check_targets(graphs, spec.targets, told)
    functions = {step.name: graph_function(step.model) for step in graphs.steps}
    deployed = map_maker(network, functions[graphs.final.name])
    exact = [step.name for step in graphs.steps if step.name in EXACT_STEPS]
    lossless = graphs.final.name == exact[-1]
    data = resolved.evaluation if spec.golden_from_data else None
    most = _golden_count(network, resolved.network)
    data = open_dataset(f"synthetic:{most}:{_GOLDEN_SEED}") if data is None else data
    forms: dict[str, Function] = {network.reference_name: network.reference(), **functions}
    with told.task("golden inputs"):
        golden = answer(
            network,
            golden_inputs(network, data, most=most),
            (forms[network.reference_name], functions[graphs.final.name]),
            spec.target_precision,
            synthetic=not spec.golden_from_data,
            folder="golden/saliency",
        )
    examples = islice(iter(evaluation if evaluation is not None else Feeds(data, network.inputs)), _JUDGED)
    with told.task("compare the steps"):
        gate = judge_raw(compare_raw(forms, examples), spec.budget)
    return SaliencyGraph(
        network=network,
        checkpoint=checkpoint,
        graphs=graphs,
        gate=gate,
        golden=golden,
        golden_data=data,
        reference=deployed if lossless else map_maker(network, functions[exact[-1]]),
        deployed=deployed,
        evaluation=resolved.evaluation,
    )


def _taking(function: Function, which: int) -> Callable[[tuple[Tensors, Tensors]], Outputs]:
    return lambda pair: function(pair[which])


def _weight(network: NetworkSpec) -> float:
    """w of a network of ours; what another does with its map is its own affair, and stated as the plain product."""
    return float(network.options["weight"]) if network.name in registry.names() else 1.0


def _golden_count(network: Network, classifier: Network) -> int:
    """So many golden inputs of both graphs that their codes stay small beside the weights, and no more than either
    takes: in one bundle they are as many."""
    size = sum(math.prod(spec.shape[1:]) for spec in (*network.inputs, *classifier.inputs))
    fitting = max(1, min(COUNT, _GOLDEN_BYTES // size))
    return golden_count(classifier, most=golden_count(network, most=fitting))


class _Prefixed:
    """A reporter that says which graph its steps and notes are about."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        return self._reporter.task(f"{PREFIX}: {name}", total)

    def note(self, text: str) -> None:
        self._reporter.note(f"{PREFIX}: {text}")
