"""Training one network of the study of the published systems, quantising it, and counting what it gets right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.published_results import Figure, Protocol
from benchmarks.study_data import Drawn, View, draw
from edgefer.progress import Reporter
from edgefer_export.checkpoint import load_weights
from edgefer_export.data.feeds import Feeds
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.onnx_export import export_onnx
from edgefer_export.quantise import QuantiseSpec, quantise
from edgefer_export.runners import Outputs, Tensors, graph_function, network_function
from edgefer_export.saliency_maps import with_maps_for
from edgefer_export.simplify import simplify
from edgefer_export.train import TrainSpec, train
from edgefer_export.train.cache import SampleCache

CAMERAS = ("visible", "infrared")
_BATCH = 50


@dataclass(frozen=True)
class SeedData:
    """The four sets of one seed; their people are different."""

    train: Drawn
    validation: Drawn
    test: Drawn
    calibration: Drawn


def draw_seed(protocol: Protocol, seed: int, reporter: Reporter) -> SeedData:
    """Draw the pairs of one seed."""
    from edgefer_export.data.synthetic import SyntheticPairs

    # A seed of the study takes four of the generator, so that nobody is in two of its sets.
    counts = (protocol.train_pairs, protocol.validation_pairs, protocol.test_pairs, protocol.calibration_pairs)
    sets = [SyntheticPairs(count, 5000 + 1000 * seed + offset) for offset, count in enumerate(counts)]
    with reporter.task(f"drawing pairs of seed {seed}", sum(counts)) as advance:
        return SeedData(*(draw(pairs, processes=protocol.processes, advance=advance) for pairs in sets))


def run_network(protocol: Protocol, name: str, seed: int, data: SeedData, folder: Path, reporter: Reporter) -> Figure:
    """Train one network, quantise it, and count on the test pairs, with every camera and with each one alone."""
    trained = protocol.networks[name]
    started = time.monotonic()
    spec = _spec(protocol, name, seed, data, folder)
    train(spec, reporter)
    seconds = time.monotonic() - started
    network = registry.create(trained.network, trained.options, labels=data.test.names if trained.counted else None)
    figure = Figure(name=name, seed=seed, parameters=network.parameters, right={}, note=trained.note, seconds=seconds)
    if not trained.counted:
        return figure
    load_weights(network.module, spec.output)
    network.module.eval()
    test, calibration = (
        with_maps_for(network, View(each), spec.saliency, reporter) for each in (data.test, data.calibration)
    )
    int8 = _quantised(network, Feeds(calibration, network.inputs, missing=True), reporter)
    forms = {"fp32": network_function(network), "int8": graph_function(int8, threads=2)}
    cache = SampleCache(test, network.inputs, reporter, "reading test pairs")
    labels = cache.labels.numpy()
    answers: dict[str, npt.NDArray[np.int64]] = {}
    missing: dict[str, tuple[int, int]] = {}
    for precision, function in forms.items():
        answers[precision] = _answers(function, cache, None, network)
        if any(each.role == "present" for each in network.inputs):
            for camera in CAMERAS:
                missing[f"{camera} {precision}"] = _right(_answers(function, cache, camera, network), labels)
    return msgspec.structs.replace(
        figure,
        right={precision: _right(each, labels) for precision, each in answers.items()},
        missing=missing,
        agreement=_right(answers["int8"], answers["fp32"]),
    )


def _spec(protocol: Protocol, name: str, seed: int, data: SeedData, folder: Path) -> TrainSpec:
    trained = protocol.networks[name]

    def weights(other: str) -> Path:
        return folder / f"{seed}-{other}.pt"

    def pair(others: tuple[str, str] | None) -> tuple[Path, Path] | None:
        return None if others is None else (weights(others[0]), weights(others[1]))

    # What has no classes learns from the maps that are drawn with synthetic faces.
    drawn = trained.counted
    return TrainSpec(
        network=trained.network,
        data=View(data.train) if drawn else f"synthetic:{protocol.map_pairs}:{5900 + seed}",
        validation=View(data.validation) if drawn else None,
        output=weights(name),
        options=trained.options,
        epochs=trained.epochs,
        batch=protocol.batch if drawn else 16,
        learning_rate=trained.learning_rate,
        dropout=protocol.dropout if drawn else None,
        modality_dropout=trained.modality_dropout,
        towers=pair(trained.towers),
        backbones=pair(trained.backbones),
        weights=None if trained.weights is None else weights(trained.weights),
        saliency=None if trained.saliency is None else weights(trained.saliency),
        stage=trained.stage,
        seed=seed,
    )


def _quantised(network: LoadedNetwork, calibration: Feeds, reporter: Reporter) -> onnx.ModelProto:
    """The INT8 graph, ranges by maxima, with a free batch so that the test pairs take seconds."""
    exported = export_onnx(network, batches=(1, _BATCH))
    simpler = exported.simplified or simplify(exported.model)
    return quantise(simpler.model, calibration, QuantiseSpec(), reporter).model


def _answers(
    function: Callable[[Tensors], Outputs], cache: SampleCache, alone: str | None, network: LoadedNetwork
) -> npt.NDArray[np.int64]:
    """The index of the largest logit for every pair; with `alone`, that camera is the only one there."""
    rows = []
    for tensors in _batches(cache):
        if alone is not None:
            tensors = _with_one_camera(tensors, alone, network)
        rows.append(function(tensors)["logits"].argmax(1))
    return np.concatenate(rows)


def _batches(cache: SampleCache) -> Iterator[Tensors]:
    indices = np.arange(len(cache))
    for tensors, _ in cache.batches([indices[at : at + _BATCH] for at in range(0, len(indices), _BATCH)]):
        yield {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in tensors.items()}


def _with_one_camera(tensors: Tensors, alone: str, network: LoadedNetwork) -> Tensors:
    """The feeds of a session that was given one camera: the other is zeros, and the mask says so."""
    changed = dict(tensors)
    for spec in network.inputs:
        if spec.role == "present":
            changed[spec.name] = np.tile(np.float32([each == alone for each in CAMERAS]), (len(tensors[spec.name]), 1))
        elif spec.role != alone:
            changed[spec.name] = np.zeros_like(tensors[spec.name])
    return changed


def _right(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int((found == expected).sum()), len(expected)
