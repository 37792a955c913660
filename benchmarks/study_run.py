"""The synthetic study: visible, infrared and fused networks on unseen people, over several seeds.

Each seed draws people of its own, trains a network per modality, a fused one from the two towers, and one that sees
the mouth alone, and counts what they get right on test pairs. Every network's figures are kept as soon as it is done;
a second run goes on from there. The table goes to standard output, the figures to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from benchmarks.pixel_baselines import features, linear_accuracy, neighbour_accuracy, standardised
from benchmarks.study_data import FACE_SIZE, MOUTH_SIZE, Drawn, View, draw
from benchmarks.study_results import (
    NetworkFigure,
    Protocol,
    SeedFigure,
    Study,
    machine,
    markdown,
    subsets,
    summarise,
)
from edgefer import atomic
from edgefer.progress import Reporter, Terminal
from edgefer_export.checkpoint import load_weights
from edgefer_export.networks import registry
from edgefer_export.train import TrainSpec, train
from edgefer_export.train.cache import SampleCache
from edgefer_export.train.loop import Trainer

_ROOT = Path(__file__).resolve().parents[1]

NETWORKS = ("visible", "infrared", "fused", "mouth")
RESULTS = _ROOT / "benchmarks" / "results" / "synthetic-study.json"


@dataclass(frozen=True)
class SeedData:
    """The three sets of one seed; their people are different."""

    train: Drawn
    validation: Drawn
    test: Drawn


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, write the results and print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many (5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON to write")
    parser.add_argument("--work", type=Path, default=_ROOT / "build" / "synthetic-study", help="what is resumed from")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of --results and do nothing else")
    arguments = parser.parse_args(argv)
    if arguments.table:
        study = msgspec.json.decode(arguments.results.read_bytes(), type=Study)
    else:
        torch.set_num_threads(arguments.threads)
        study = run(Protocol(), arguments.seeds, arguments.work, Terminal())
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(arguments.results, msgspec.json.format(msgspec.json.encode(study), indent=1) + b"\n")
    print(markdown(study))
    return 0 if all(goal.met for goal in study.goals) else 1


def run(protocol: Protocol, seeds: int, work: Path, reporter: Reporter) -> Study:
    """The whole study; networks whose figures lie in `work` already are not trained again."""
    folder = work / protocol.digest
    folder.mkdir(parents=True, exist_ok=True)
    figures = tuple(run_seed(protocol, seed, folder, reporter) for seed in range(1, seeds + 1))
    return summarise(protocol, figures, machine(torch.get_num_threads()))


def run_seed(protocol: Protocol, seed: int, folder: Path, reporter: Reporter) -> SeedFigure:
    """One seed, from `folder` where it is finished, else from the network at which it stopped."""
    done = folder / f"seed-{seed}.json"
    if done.exists():
        return msgspec.json.decode(done.read_bytes(), type=SeedFigure)
    started = time.monotonic()
    data = _draw(protocol, seed, reporter)
    drawing = time.monotonic() - started
    linear, neighbour = _baselines(protocol, data)
    networks = {name: run_network(protocol, name, seed, data, folder, reporter) for name in NETWORKS}
    figure = SeedFigure(
        seed=seed,
        networks=networks,
        linear=linear,
        neighbour=neighbour,
        # What an earlier, interrupted run spent on a network counts.
        seconds=drawing + sum(network.seconds for network in networks.values()),
    )
    atomic.write_bytes(done, msgspec.json.encode(figure))
    reporter.note(
        f"seed {seed}: "
        + ", ".join(f"{name} {100 * figure.accuracy(name):.1f} %" for name in NETWORKS)
        + f", {figure.seconds:.0f} s"
    )
    return figure


def run_network(
    protocol: Protocol, name: str, seed: int, data: SeedData, folder: Path, reporter: Reporter
) -> NetworkFigure:
    """Train one network and count, unless its figures are in `folder`."""
    done = folder / f"seed-{seed}-{name}.json"
    if done.exists():
        return msgspec.json.decode(done.read_bytes(), type=NetworkFigure)
    started = time.monotonic()
    spec = _spec(protocol, name, seed, data, folder)
    result = train(spec, reporter)
    hits = _hits(result.path, spec, View(data.test, "mouth" if name == "mouth" else "face"), reporter)
    figure = NetworkFigure(
        counts=subsets(hits, data.test.conditions),
        validation=(result.correct, result.count),
        steps=result.steps,
        arithmetic=result.arithmetic,
        seconds=time.monotonic() - started,
    )
    atomic.write_bytes(done, msgspec.json.encode(figure))
    return figure


def _spec(protocol: Protocol, name: str, seed: int, data: SeedData, folder: Path) -> TrainSpec:
    what = "mouth" if name == "mouth" else "face"
    spec = TrainSpec(
        network={"visible": "viri-visible", "infrared": "viri-infrared", "fused": "viri-fusion"}.get(
            name, "viri-visible"
        ),
        data=View(data.train, what),  # type: ignore[arg-type]
        validation=View(data.validation, what),  # type: ignore[arg-type]
        output=folder / f"seed-{seed}-{name}.pt",
        options={"width": f"{protocol.width:g}", "size": str(MOUTH_SIZE if name == "mouth" else FACE_SIZE)},
        epochs=protocol.epochs[name],
        batch=protocol.batch,
        learning_rate=protocol.learning_rate,
        dropout=protocol.dropout,
        seed=seed,
    )
    if name == "fused":
        towers = (folder / f"seed-{seed}-visible.pt", folder / f"seed-{seed}-infrared.pt")
        spec = replace(spec, towers=towers, learning_rate=protocol.learning_rate / 2)
    return spec


def _hits(checkpoint: Path, spec: TrainSpec, test: View, reporter: Reporter) -> np.ndarray:
    network = registry.create(spec.network, spec.options, labels=test.labels)
    load_weights(network.module, checkpoint)
    cache = SampleCache(test, network.inputs, reporter, "reading test pairs")
    logits = Trainer(network.module, spec, "ce_on_logits", "fp32").logits(cache)
    return (logits.argmax(1) == cache.labels).numpy()


def _draw(protocol: Protocol, seed: int, reporter: Reporter) -> SeedData:
    from edgefer_export.data.synthetic import SyntheticPairs

    # A seed of the study takes three of the generator, so that nobody is in two of its sets.
    counts = (protocol.train_pairs, protocol.validation_pairs, protocol.test_pairs)
    sets = [SyntheticPairs(count, 1000 * seed + offset) for offset, count in enumerate(counts)]
    with reporter.task(f"drawing pairs of seed {seed}", sum(counts)) as advance:
        return SeedData(*(draw(pairs, processes=protocol.processes, advance=advance) for pairs in sets))


def _baselines(protocol: Protocol, data: SeedData) -> tuple[float, float]:
    count = min(protocol.baseline_pairs, len(data.train))
    train_rows = features(data.train.visible[:count], data.train.infrared[:count])
    test_rows = features(data.test.visible, data.test.infrared)
    train_rows, test_rows = standardised(train_rows, test_rows)
    labels, truth = np.array(data.train.labels[:count]), np.array(data.test.labels)
    return (
        linear_accuracy(train_rows, labels, test_rows, truth),
        neighbour_accuracy(train_rows, labels, test_rows, truth),
    )
