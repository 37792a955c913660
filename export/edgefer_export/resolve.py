"""From what was asked for to a network with weights, labels and inputs, and the data to go with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from edgefer.errors import CalibrationError, CheckpointError, UsageError
from edgefer.progress import Reporter
from edgefer_export.checkpoint import CheckpointMetadata, CheckpointReport, load_weights, read_metadata
from edgefer_export.data import open_dataset
from edgefer_export.data.dataset import Dataset
from edgefer_export.data.sources import is_synthetic
from edgefer_export.foreign import Said, load_onnx, with_labels
from edgefer_export.network_argument import classify
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.networks.network import Network
from edgefer_export.networks.user import from_file, input_specs
from edgefer_export.preprocess import refuse_normalising, with_preprocess
from edgefer_export.spec import BuildSpec


@dataclass(frozen=True)
class Resolved:
    """The network of a build in evaluation mode, its checkpoint where one was given, and the data sets."""

    network: Network
    checkpoint: CheckpointReport | None
    calibration: Dataset | None
    evaluation: Dataset | None


def resolve(spec: BuildSpec, reporter: Reporter) -> Resolved:
    """Make the network, load its weights and open the data.

    Options and labels come from the specification, then from the checkpoint, then from the data, then from the
    network's own defaults.

    Raises:
        UsageError: unknown network or option.
        CheckpointError: the checkpoint cannot be read, or belongs to another network.
        DataError: a data set cannot be read, or its classes are not those of the network.
    """
    with torch.random.fork_rng():
        # Initial weights are drawn; without a checkpoint they are all there is, and a build must be repeatable.
        torch.manual_seed(spec.seed)
        network, checkpoint = _foreign(spec, reporter) if classify(spec.network) == "onnx" else _network(spec, reporter)
    # The sequence of the logits is the network's, so data is opened with its labels, whatever the folders' order.
    # Ranges need no labels: a folder of unlabelled images will do for calibration.
    labels = network.labels or None
    calibration = None
    if spec.quantises and spec.calibration is not None and not network.native.startswith("int8"):
        drawn = is_synthetic(spec.calibration)
        calibration = open_dataset(spec.calibration, spec.layout, labels if drawn else None, reporter=reporter)
    evaluation = None
    if spec.evaluation is not None:
        evaluation = open_dataset(spec.evaluation, spec.layout, labels, reporter=reporter)
    return Resolved(network, checkpoint, calibration, evaluation)


def _network(spec: BuildSpec, reporter: Reporter) -> tuple[LoadedNetwork, CheckpointReport | None]:
    metadata = read_metadata(spec.weights) if spec.weights is not None else None
    known = metadata is not None and metadata.network == spec.network
    options = {**(metadata.options if metadata is not None and known else {}), **spec.options}
    if metadata is not None and known:
        _tell_what_differs(spec, metadata, reporter)
    labels = spec.labels or (metadata.labels if metadata is not None else None)
    if labels is None and not {"labels", "classes"} & set(options):
        labels = _labels_of_data(spec, reporter)
    if classify(spec.network) == "file":
        inputs = input_specs(spec.inputs, spec.band, spec.input_roles)
        inputs = with_preprocess(inputs, spec.preprocess, spec.network)
        network = from_file(spec.network, inputs, labels, options, exporter=spec.exporter)
    else:
        if spec.inputs:
            raise UsageError(
                f"`--input` is for FILE.py:FACTORY and for ONNX files; {spec.network} knows its inputs.",
                hint="Set the size of a registered network with --option size=N.",
            )
        if metadata is not None and not known and metadata.network in registry.names():
            raise CheckpointError(
                f"{spec.weights} holds the weights of {metadata.network}, not of {spec.network}",
                hint=f"Build {metadata.network}, or give the checkpoint of {spec.network}.",
            )
        band = spec.band or (metadata.band if metadata is not None else None)
        if labels is not None:
            # The labels decide the number of classes; a checkpoint's own label set would contradict others.
            options = {key: value for key, value in options.items() if key not in {"labels", "classes"}}
        refuse_normalising(spec.preprocess, spec.network)
        network = registry.create(spec.network, options, labels=labels, band=band)  # type: ignore[arg-type]
        network = replace(network, inputs=with_preprocess(network.inputs, spec.preprocess, spec.network))
    network.module.eval()
    if spec.weights is None:
        reporter.note("No --weights given: the network keeps its initial weights, which recognise nothing.")
        return network, None
    loaded = load_weights(network.module, spec.weights)
    for note in loaded.notes:
        reporter.note(note)
    return network, loaded


def _foreign(spec: BuildSpec, reporter: Reporter) -> tuple[Network, None]:
    said = Said(spec.inputs, spec.input_roles, spec.output_roles, spec.labels, spec.band, spec.preprocess)
    with reporter.task("read the graph"):
        network = load_onnx(spec.network, said)
    if network.logits is not None and spec.labels is None:
        found = _labels_of_data(spec, reporter)
        network = network if found is None else with_labels(network, found)
    if not spec.quantises or network.native.startswith("int8"):
        return network, None
    if spec.calibration is None:
        raise CalibrationError(
            f"{spec.target_precision} needs --calibration: ranges come from data.",
            hint="--precision fp32 or fp16 builds without.",
        )
    if network.logits is not None and spec.evaluation is None:
        raise UsageError(
            f"{spec.target_precision} needs --evaluation where there are logits: the verdict comes from data.",
            hint=f"If {network.logits} is no classification, state it as --output {network.logits}:other.",
        )
    return network, None


def _tell_what_differs(spec: BuildSpec, metadata: CheckpointMetadata, reporter: Reporter) -> None:
    # Weights fit many networks that they were not trained for; only what changes a shape is refused later.
    for name, value in spec.options.items():
        trained = metadata.options.get(name)
        if trained is not None and trained != value:
            reporter.note(f"{spec.weights} was trained with {name}={trained}; --option {name}={value} is used instead.")
    if spec.labels is not None and spec.labels != metadata.labels:
        reporter.note(
            f"{spec.weights} was trained for the labels {', '.join(metadata.labels)}; "
            f"its logits are called {', '.join(spec.labels)} instead."
        )
    if spec.band is not None and metadata.band is not None and spec.band != metadata.band:
        reporter.note(f"{spec.weights} was trained on {metadata.band}; --band {spec.band} is used instead.")


def _labels_of_data(spec: BuildSpec, reporter: Reporter) -> tuple[str, ...] | None:
    if spec.evaluation is None or is_synthetic(spec.evaluation):
        return None
    return tuple(open_dataset(spec.evaluation, spec.layout, reporter=reporter).labels)
