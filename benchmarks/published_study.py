"""The published systems on synthetic pairs: `make bench-published`; within an hour on two cores that do nothing else.

    python -m benchmarks.published_study [--seeds 5] [--table]

Each seed draws people of its own for training, validation, calibration and test. Visible, infrared and fused networks
are trained without attention and with the published gate, and counted in FP32 and INT8; the fused ones also with a
camera missing. One row each for the other systems, of the first seed. A network's figures are kept as soon as it is
done; a second run goes on from there. The figures go to benchmarks/results/published-study.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import msgspec
import torch

from benchmarks.published_latency import latency
from benchmarks.published_results import Figure, Protocol, Study, Trained, load, markdown, share, summarise
from benchmarks.published_run import SeedData, draw_seed, run_network
from benchmarks.study_results import machine
from edgefer import atomic
from edgefer.progress import Reporter, Terminal

_ROOT = Path(__file__).resolve().parents[1]
RESULTS = _ROOT / "benchmarks" / "results" / "published-study.json"

SEEDS = 5

_SMALL = {"width": "0.25", "size": "64"}


def _trio(suffix: str, gates: tuple[str, str, str]) -> dict[str, Trained]:
    """The networks of one camera, and the fused one that starts from their towers and learns to miss a camera."""
    visible, infrared, fused = ({**_SMALL, "gate": gate} for gate in gates)
    return {
        f"visible{suffix}": Trained(network="viri-visible", options=visible, epochs=6, learning_rate=3e-3),
        f"infrared{suffix}": Trained(network="viri-infrared", options=infrared, epochs=11, learning_rate=3e-3),
        f"fused{suffix}": Trained(
            network="viri-fusion",
            options={**fused, "present": "true", "placeholder": "learned"},
            epochs=6,
            learning_rate=1.5e-3,
            towers=(f"visible{suffix}", f"infrared{suffix}"),
            modality_dropout=0.25,
        ),
    }


PROTOCOL = Protocol(
    train_pairs=10000,
    validation_pairs=500,
    test_pairs=2000,
    calibration_pairs=128,
    map_pairs=1000,
    batch=48,
    dropout=0.2,
    networks={
        **_trio("", ("none", "none", "none")),
        **_trio("+gate", ("linear", "square", "square")),
        "feratt": Trained(
            network="feratt",
            options={**_SMALL, "sigma": "1"},
            epochs=3,
            learning_rate=1e-3,
            note="trained on the pictures as they are, without composed backgrounds, so that nothing is reconstructed",
        ),
        "resnet18": Trained(
            network="backbone", options={**_SMALL, "backbone": "resnet18"}, epochs=6, learning_rate=3e-3
        ),
        "resnet34": Trained(
            network="backbone", options={**_SMALL, "backbone": "resnet34"}, epochs=6, learning_rate=3e-3
        ),
        "fusion-attention, head": Trained(
            network="fusion-attention",
            options=_SMALL,
            epochs=3,
            learning_rate=1e-3,
            backbones=("resnet18", "resnet34"),
            stage="head",
        ),
        "fusion-attention": Trained(
            network="fusion-attention",
            options=_SMALL,
            epochs=2,
            learning_rate=1e-3,
            weights="fusion-attention, head",
            stage="fine-tune",
        ),
        "ml-net": Trained(
            network="ml-net",
            options={"width": "0.25", "height": "64", "width_px": "64"},
            epochs=4,
            learning_rate=1e-3,
            counted=False,
        ),
        "saliency-alexnet": Trained(
            network="saliency-alexnet",
            options={"width": "0.25", "size": "112", "weight": "0.3"},
            note="from random weights, with maps of an ML-Net that learnt those drawn for synthetic faces",
            epochs=5,
            learning_rate=1e-3,
            saliency="ml-net",
        ),
    },
    other_systems=(
        *("feratt", "resnet18", "resnet34", "fusion-attention, head", "fusion-attention", "ml-net"),
        "saliency-alexnet",
    ),
)


def main() -> int:
    """Run what is missing, write the results and print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many ({SEEDS})")
    parser.add_argument("--results", type=Path, help=f"JSON to write; a whole study goes to {RESULTS.name} without it")
    parser.add_argument("--work", type=Path, default=_ROOT / "build" / "published-study", help="what is resumed from")
    parser.add_argument("--only", nargs="+", metavar="NETWORK", help="rows of the table; everything by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of --results and do nothing else")
    arguments = parser.parse_args()
    whole = arguments.only is None and arguments.seeds >= SEEDS
    results = arguments.results or (RESULTS if whole else None)
    if arguments.table:
        study = load(arguments.results or RESULTS)
    else:
        torch.set_num_threads(arguments.threads)
        study = run(arguments.seeds, arguments.only, arguments.work, Terminal())
        if results is not None:
            atomic.write_bytes(results, msgspec.json.format(msgspec.json.encode(study), indent=1) + b"\n")
    print(markdown(study))
    return 0 if all(goal.met for goal in study.goals) else 1


def run(seeds: int, only: list[str] | None, work: Path, reporter: Reporter) -> Study:
    """The whole study; networks whose figures lie in `work` already are not trained again."""
    folder = work / PROTOCOL.digest
    folder.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for seed in range(1, seeds + 1):
        names = [
            name
            for name in PROTOCOL.networks
            if (seed == 1 or name not in PROTOCOL.other_systems) and (only is None or name in only)
        ]
        figures += run_seed(seed, names, folder, reporter)
    spent = _spent(folder, 0.0)
    started = time.monotonic()
    row = latency(work) if only is None else None
    spent = _spent(folder, time.monotonic() - started if row is not None else 0.0)
    return summarise(PROTOCOL, figures, row, spent, machine(torch.get_num_threads()))


def run_seed(seed: int, names: list[str], folder: Path, reporter: Reporter) -> list[Figure]:
    """The networks of one seed; its pairs are drawn only where one is missing."""
    data: SeedData | None = None
    figures = []
    for name in names:
        done = folder / f"{seed}-{name}.json"
        if not done.exists():
            started = time.monotonic()
            data = data or draw_seed(PROTOCOL, seed, reporter)
            figure = run_network(PROTOCOL, name, seed, data, folder, reporter)
            atomic.write_bytes(done, msgspec.json.encode(figure))
            _spent(folder, time.monotonic() - started)
        figures.append(msgspec.json.decode(done.read_bytes(), type=Figure))
        shown = {precision: f"{100 * share(count):.1f} %" for precision, count in figures[-1].right.items()}
        reporter.note(f"seed {seed}, {name}: {shown}")
    return figures


def _spent(folder: Path, more: float) -> float:
    """Seconds that the study took so far, drawing included, `more` added: an interrupted one is counted whole."""
    path = folder / "seconds.json"
    before = msgspec.json.decode(path.read_bytes(), type=float) if path.exists() else 0.0
    if more:
        atomic.write_bytes(path, msgspec.json.encode(before + more))
    return before + more


if __name__ == "__main__":
    raise SystemExit(main())
