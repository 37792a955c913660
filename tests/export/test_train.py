"""Training: it learns, repeats itself, keeps the best, and says what is wrong with what it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

import torch

from edgefer.errors import CheckpointError, DataError, InputError, TrainingError, UsageError
from edgefer.progress import Silent
from edgefer_export.checkpoint import load_weights, read_metadata
from edgefer_export.data.dataset import Sample
from edgefer_export.data.synthetic import BASIC_LABELS, SyntheticPairs
from edgefer_export.networks import registry
from edgefer_export.train import TrainSpec, train
from edgefer_export.train.loop import Trainer

SMALL = {"width": "0.125", "size": "32"}


class Blobs:
    """Bright squares in one of `classes` corners: a problem that a small network learns in seconds."""

    roles = ("visible", "infrared")

    def __init__(self, count: int, classes: int = 2, seed: int = 0, *, labels: tuple[str, ...] | None = None) -> None:
        self.labels = labels or tuple("abcd"[:classes])
        self.source = f"{count} blobs"
        self._count, self._classes, self._seed = count, classes, seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self._seed, index))
        label = index % self._classes
        picture = rng.integers(0, 90, (32, 32), dtype=np.uint8)
        top = 16 * (label // 2)
        # Mirrored pictures keep their label: squares differ in height, not in side.
        picture[top + 4 * (label % 2) : top + 4 * (label % 2) + 8, 12:20] += 150
        return Sample({"visible": np.stack([picture] * 3, -1), "infrared": picture}, label, str(index), str(index // 4))


def spec(output: Path, **changes: object) -> TrainSpec:
    fields = {
        "network": "viri-visible",
        "data": Blobs(96),
        "output": output,
        "options": SMALL,
        "epochs": 4,
        "batch": 16,
        "dropout": 0.1,
        "crop": 0.0,
        "validation_share": 0.25,
        "arithmetic": "fp32",
    }
    return TrainSpec(**{**fields, **changes})  # type: ignore[arg-type]


def test_learns_a_small_problem_and_the_loss_falls(tmp_path: Path) -> None:
    result = train(spec(tmp_path / "a.pt", epochs=8))
    assert result.accuracy > 0.8
    assert result.history[-1].loss < 0.7 * result.history[0].loss
    assert (result.samples, result.count, result.stopped) == (72, 24, "finished")
    assert result.steps == sum(figure.steps for figure in result.history) == 8 * 4


def test_checkpoint_makes_the_same_network_again(tmp_path: Path) -> None:
    validation = Blobs(40, seed=5)
    result = train(spec(tmp_path / "a.pt", validation=validation))
    metadata = read_metadata(result.path)
    assert metadata is not None
    assert (metadata.network, metadata.labels, metadata.band) == ("viri-visible", ("a", "b"), None)
    assert metadata.notes["correct"] == result.correct
    network = registry.create(metadata.network, metadata.options, labels=metadata.labels)
    load_weights(network.module, result.path)
    from edgefer_export.train.cache import SampleCache

    cache = SampleCache(validation, network.inputs, Silent(), "")
    assert Trainer(network.module, spec(tmp_path / "b.pt"), "ce_on_logits", "fp32").correct(cache) == result.correct


def test_same_seed_gives_the_same_weights_and_leaves_the_callers_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    paths = [train(spec(tmp_path / f"{name}.pt", epochs=1)).path for name in "ab"]
    assert torch.equal(torch.rand(3), expected)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    other = train(spec(tmp_path / "c.pt", epochs=1, seed=1)).path
    assert other.read_bytes() != paths[0].read_bytes()


def test_best_epoch_is_kept_and_later_ones_win_ties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([5, 9, 9, 3])
    monkeypatch.setattr(Trainer, "correct", lambda self, cache: next(counts))
    result = train(spec(tmp_path / "a.pt"))
    assert (result.best_epoch, result.correct) == (3, 9)
    metadata = read_metadata(result.path)
    assert metadata is not None
    assert metadata.notes["epoch"] == 3


def test_steps_end_a_training_within_an_epoch(tmp_path: Path) -> None:
    result = train(spec(tmp_path / "a.pt", epochs=None, steps=6))
    assert [figure.steps for figure in result.history] == [4, 2]


def test_time_limit_ends_early_with_a_checkpoint(tmp_path: Path) -> None:
    result = train(spec(tmp_path / "a.pt", epochs=100_000, minutes=0.07))
    assert result.stopped == "time limit"
    assert result.path.exists()
    assert result.seconds < 10


def test_time_limit_too_short_for_a_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="before the first step"):
        train(spec(tmp_path / "a.pt", minutes=1e-6))
    assert not (tmp_path / "a.pt").exists()


def test_interrupt_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Trainer.step, []

    def step(self: Trainer, *arguments: object) -> dict[str, float]:
        calls.append(1)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "step", step)
    reporter = Silent()
    with pytest.raises(KeyboardInterrupt):
        train(spec(tmp_path / "a.pt"), reporter)
    metadata = read_metadata(tmp_path / "a.pt")
    assert metadata is not None
    assert metadata.notes["epoch"] == 1
    assert any("keeps epoch 1" in note for note in reporter.notes)


def test_diverging_loss_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.train import objective

    original, calls = objective.F.cross_entropy, []

    def cross_entropy(*arguments: object, **options: object) -> torch.Tensor:
        calls.append(1)
        loss = original(*arguments, **options)  # type: ignore[arg-type]
        return loss * float("nan") if len(calls) == 6 else loss

    monkeypatch.setattr(objective.F, "cross_entropy", cross_entropy)
    with pytest.raises(TrainingError, match=r"became nan .* \(step 6 of 16\)") as caught:
        train(spec(tmp_path / "a.pt"))
    assert "keeps epoch 1" in caught.value.hint
    assert read_metadata(tmp_path / "a.pt") is not None


def test_divergence_before_any_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        train(spec(tmp_path / "a.pt", learning_rate=1e30, epochs=30))
    assert "learning rate" in caught.value.hint


@pytest.mark.parametrize("loss", ["ce_on_logits", "ce_on_softmax"])
def test_loss_of_the_networks_option(tmp_path: Path, loss: str) -> None:
    result = train(spec(tmp_path / "a.pt", options={**SMALL, "loss": loss}, label_smoothing=0.0, epochs=10))
    floor = float(np.log(np.e + 1) - 1)  # -log(e / (e + C - 1)) with two classes
    assert (result.history[-1].loss >= floor) or loss == "ce_on_logits"
    assert result.history[-1].loss < 0.65


def test_synthetic_pairs_train_a_fusion_with_missing_cameras(tmp_path: Path) -> None:
    options = {**SMALL, "present": "true"}
    result = train(
        spec(
            tmp_path / "a.pt",
            network="viri-fusion",
            data="synthetic:60:1:nir",
            options=options,
            modality_dropout=0.3,
            crop=0.06,
            epochs=1,
            arithmetic="auto",
        )
    )
    assert len(result.labels) == 5
    metadata = read_metadata(result.path)
    assert metadata is not None
    assert metadata.band == "nir"


def test_fusion_starts_from_its_towers(tmp_path: Path) -> None:
    data = SyntheticPairs(40, 2)
    towers = tuple(
        train(spec(tmp_path / f"{role}.pt", network=f"viri-{role}", data=data, epochs=1)).path
        for role in ("visible", "infrared")
    )
    from edgefer_export.train.setup import prepare

    material = prepare(spec(tmp_path / "f.pt", network="viri-fusion", data=data, towers=towers), Silent())
    fused = material.network.module.state_dict()
    for role, path in zip(("visible", "infrared"), towers, strict=True):
        tower = torch.load(path, weights_only=True)["state_dict"]
        assert torch.equal(fused[f"{role}.layer2.0.conv1.weight"], tower["trunk.layer2.0.conv1.weight"])
        # The gate of the visible tower looks at the pooled vector, that of the fusion at its square.
        assert torch.equal(fused[f"fusion.{role}.weight"], tower["gate.linear.weight"]) == (role == "infrared")
    with pytest.raises(CheckpointError, match="the visible tower is a checkpoint of viri-visible"):
        prepare(spec(tmp_path / "f.pt", network="viri-fusion", data=data, towers=towers[::-1]), Silent())
    with pytest.raises(UsageError, match="only viri-fusion"):
        prepare(spec(tmp_path / "f.pt", data=data, towers=towers), Silent())
    wider = spec(tmp_path / "f.pt", network="viri-fusion", data=data, towers=towers, options={"width": "0.25"})
    with pytest.raises(CheckpointError, match="does not fit the fusion"):
        prepare(wider, Silent())


def test_weights_to_start_from(tmp_path: Path) -> None:
    first = train(spec(tmp_path / "a.pt", epochs=1)).path
    # At such a rate nothing moves but the statistics of batch normalisation.
    second = train(spec(tmp_path / "b.pt", epochs=1, weights=first, learning_rate=1e-12)).path
    one, other = (torch.load(path, weights_only=True)["state_dict"]["head.1.weight"] for path in (first, second))
    assert torch.allclose(one, other, atol=1e-6)


def test_class_without_images(tmp_path: Path) -> None:
    data = Blobs(40, 2, labels=("a", "b", "c"))
    with pytest.raises(DataError, match="nothing to train c on"):
        train(spec(tmp_path / "a.pt", data=data))


def test_another_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="classes=7"):
        train(spec(tmp_path / "a.pt", options={**SMALL, "classes": "7"}))


def test_labels_of_the_options_meet_other_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels a, b; expected angry"):
        train(spec(tmp_path / "a.pt", options={**SMALL, "labels": "viri"}))


def test_unknown_labels_of_synthetic_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bored"):
        train(spec(tmp_path / "a.pt", data="synthetic:20:1", labels=("bored", "happy")))


def test_validation_with_other_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has the labels neutral"):
        train(spec(tmp_path / "a.pt", validation=SyntheticPairs(14, 1, labels=BASIC_LABELS)))


def test_missing_modality(tmp_path: Path) -> None:
    data = Blobs(40)
    data.roles = ("visible",)  # type: ignore[assignment]
    with pytest.raises(InputError, match="takes infrared images"):
        train(spec(tmp_path / "a.pt", network="viri-fusion", data=data))


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"steps": 0},
        {"minutes": 0.0},
        {"minutes": float("nan")},
        {"batch": 1},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"weight_decay": -1.0},
        {"weight_decay": float("nan")},
        {"label_smoothing": 1.0},
        {"dropout": -0.1},
        {"crop": 1.0},
        {"modality_dropout": float("nan")},
        {"modality_dropout": 0.5},
        {"validation_share": 0.0},
        {"seed": -1},
        {"epoch_samples": 1},
        {"apart": True},
        {"weights": Path("a"), "towers": (Path("b"), Path("c"))},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_values_that_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        spec(Path("a.pt"), **changes)
