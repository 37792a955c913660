"""What the synthetic study found: figures per network and seed, their summary, and the table."""

from __future__ import annotations

import hashlib
import math
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgefer.version import __version__
from edgefer_export.data.synthetic import Conditions

SUBSETS: dict[str, Callable[[Conditions], bool]] = {
    "all": lambda c: True,
    "day, no glasses": lambda c: c.day and not c.wears_glasses,
    "day, glasses": lambda c: c.day and c.wears_glasses,
    "dusk": lambda c: not c.day and not c.night,
    "night, no glasses": lambda c: c.night and not c.wears_glasses,
    "night, glasses": lambda c: c.night and c.wears_glasses,
    "occluded": lambda c: c.occluded,
}
CLEAR = "day, no glasses"

# Two-sided 95 % quantiles of Student's t by degrees of freedom.
_T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


class Protocol(msgspec.Struct, frozen=True):
    """How the study is run. `digest` changes with any of it, so that old figures are never mixed with new ones."""

    train_pairs: int = 16000
    validation_pairs: int = 600
    test_pairs: int = 3000
    baseline_pairs: int = 4000
    width: float = 0.25
    batch: int = 48
    learning_rate: float = 3e-3
    dropout: float = 0.2
    epochs: dict[str, int] = msgspec.field(
        default_factory=lambda: {"visible": 10, "infrared": 7, "fused": 5, "mouth": 6}
    )
    processes: int = 2

    @property
    def digest(self) -> str:
        """Twelve hex digits over the protocol and the sources of the generator and of the training."""
        sources = hashlib.sha256(msgspec.json.encode(self))
        import edgefer_export.data.synthetic as synthetic
        import edgefer_export.train as training

        for package in (synthetic, training):
            for path in sorted(Path(package.__file__ or "").parent.glob("*.py")):
                if path.name != "contact_sheet.py":
                    sources.update(path.read_bytes())
        return sources.hexdigest()[:12]


class NetworkFigure(msgspec.Struct, frozen=True):
    """One trained network: (right, of) per subset of the test pairs and on the validation pairs."""

    counts: dict[str, tuple[int, int]]
    validation: tuple[int, int]
    steps: int
    arithmetic: str
    seconds: float


class SeedFigure(msgspec.Struct, frozen=True):
    """One seed: its networks by name, the pixel baselines' accuracies, and seconds in all."""

    seed: int
    networks: dict[str, NetworkFigure]
    linear: float
    neighbour: float
    seconds: float

    def accuracy(self, network: str, subset: str = "all") -> float:
        """Share of the subset that the network gets right."""
        right, count = self.networks[network].counts[subset]
        return right / count

    def gain(self) -> float:
        """Fused minus the better single modality, as a share."""
        return self.accuracy("fused") - max(self.accuracy("visible"), self.accuracy("infrared"))

    def clear_gain(self) -> float:
        """Fused minus visible by day without glasses, as a share."""
        return self.accuracy("fused", CLEAR) - self.accuracy("visible", CLEAR)


class Estimate(msgspec.Struct, frozen=True):
    """Mean over seeds with its 95 % interval by Student's t; one seed has none."""

    mean: float
    low: float | None
    high: float | None


class Goal(msgspec.Struct, frozen=True):
    """What the study must show, what it found, and whether that is enough."""

    text: str
    found: str
    met: bool


class Study(msgspec.Struct, frozen=True):
    """The whole study, as it is written to JSON."""

    version: str
    machine: dict[str, str]
    command: str
    protocol: Protocol
    seeds: tuple[SeedFigure, ...]
    gain: Estimate
    clear_gain: Estimate
    goals: tuple[Goal, ...]


def subsets(hits: np.ndarray, conditions: Sequence[Conditions]) -> dict[str, tuple[int, int]]:
    """(right, of) per subset, from one truth value per test pair."""
    counts = {}
    for name, belongs in SUBSETS.items():
        member = np.array([belongs(condition) for condition in conditions])
        counts[name] = (int(hits[member].sum()), int(member.sum()))
    return counts


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of one value per seed, for 1 to 10 seeds."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = _T95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def summarise(protocol: Protocol, seeds: tuple[SeedFigure, ...], where: dict[str, str]) -> Study:
    """The study from its seeds."""
    gain = estimate([seed.gain() for seed in seeds])
    clear = estimate([seed.clear_gain() for seed in seeds])
    fused = statistics.fmean(seed.accuracy("fused") for seed in seeds)
    face = statistics.fmean(seed.accuracy("visible") for seed in seeds)
    mouth = statistics.fmean(seed.accuracy("mouth") for seed in seeds)
    pixels = max(max(seed.linear, seed.neighbour) for seed in seeds)
    slowest = max(seed.seconds for seed in seeds)
    goals = (
        Goal(
            "fused at least 3 points above the better single modality, 95 % interval above zero",
            _interval(gain),
            gain.mean >= 0.03 and gain.low is not None and gain.low > 0,
        ),
        Goal("at least 90 % fused", f"{100 * fused:.1f} %", fused >= 0.90),
        Goal(
            "by day without glasses visible within 1 point of fused",
            _interval(clear),
            clear.mean <= 0.01,
        ),
        Goal("linear and nearest neighbour below 50 % in every seed", f"{100 * pixels:.1f} %", pixels < 0.5),
        Goal("mouth alone below the full face", f"{100 * mouth:.1f} % against {100 * face:.1f} %", mouth < face),
        Goal("at most 15 minutes a seed", f"{slowest / 60:.1f} minutes", slowest <= 900),
    )
    return Study(
        version=__version__,
        machine=where,
        command="python benchmarks/synthetic_study.py",
        protocol=protocol,
        seeds=seeds,
        gain=gain,
        clear_gain=clear,
        goals=goals,
    )


def markdown(study: Study) -> str:
    """The study as tables in Markdown: accuracies per subset as mean over seeds, and the goals."""
    names = ("visible", "infrared", "fused", "mouth")
    lines = [
        f"Accuracy in percent, mean over {len(study.seeds)} seeds (lowest to highest); networks of width "
        f"{study.protocol.width:g} at 64 × 64 pixels, {study.protocol.test_pairs} test pairs of unseen people a seed.",
        "",
        "| test pairs | share | visible | infrared | fused | mouth alone |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for subset in SUBSETS:
        sizes = [seed.networks["fused"].counts[subset][1] / study.protocol.test_pairs for seed in study.seeds]
        cells = [_cell([seed.accuracy(name, subset) for seed in study.seeds]) for name in names]
        lines.append(f"| {subset} | {100 * statistics.fmean(sizes):.0f} % | " + " | ".join(cells) + " |")
    linear = _cell([seed.linear for seed in study.seeds])
    neighbour = _cell([seed.neighbour for seed in study.seeds])
    lines += [
        "",
        f"On pixels of both pictures, {study.protocol.baseline_pairs} training pairs: linear {linear}, nearest "
        f"neighbour {neighbour}.",
        "",
        "| goal | found | met |",
        "|---|---|---|",
    ]
    lines += [f"| {goal.text} | {goal.found} | {'yes' if goal.met else 'no'} |" for goal in study.goals]
    return "\n".join(lines)


def machine(threads: int) -> dict[str, str]:
    """What the study ran on."""
    import torch

    return {
        "processor": _processor(),
        "threads": str(threads),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not a Linux machine.
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def _cell(shares: Sequence[float]) -> str:
    if len(shares) == 1:
        return f"{100 * shares[0]:.1f}"
    return f"{100 * statistics.fmean(shares):.1f} ({100 * min(shares):.1f}–{100 * max(shares):.1f})"


def _interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.1f}, of one seed"
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
