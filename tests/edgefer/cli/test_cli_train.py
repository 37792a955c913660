"""train: what it asks the training for, and what it says of the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgefer.cli.main import main

pytest.importorskip("torch")

import edgefer_export.train as real
from edgefer_export.train import EpochFigure, FoldFigure, FoldsResult, TrainResult, TrainSpec

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[TrainSpec]:
    """The specifications that the training was asked for; it does nothing and gets 7 of 8 right."""
    specs: list[TrainSpec] = []

    def train(spec: TrainSpec, reporter: Any) -> TrainResult:
        specs.append(spec)
        return TrainResult(
            path=spec.output,
            network=spec.network,
            labels=("a", "b"),
            correct=7,
            count=8,
            samples=72,
            best_epoch=2,
            steps=40,
            stopped="finished",
            arithmetic="fp32",
            seconds=12.5,
            history=(EpochFigure(epoch=1, steps=20, loss=0.7, correct=4, count=8, seconds=6.0),) * 3,
        )

    def cross_validate(spec: TrainSpec, folds: int, reporter: Any) -> FoldsResult:
        specs.append(spec)
        figures = tuple(
            FoldFigure(fold, Path(f"x-fold-{fold}.pt"), 3, 4, (2, 1), (2, 2), 3, 4, 2, 8, 1.5)
            for fold in range(1, folds + 1)
        )
        return FoldsResult(Path("x-folds.json"), spec.network, ("a", "b"), False, figures)

    for name, stand_in in (("train", train), ("cross_validate", cross_validate)):
        monkeypatch.setattr(real, name, stand_in)
    monkeypatch.chdir(tmp_path)
    return specs


def test_flags_become_the_specification(asked: list[TrainSpec]) -> None:
    words = ["train", "viri-fusion", "--data", "synthetic:80:1", "-o", "x.pt", "--option", "width=0.25", "size=64"]
    words += ["--validation", "synthetic:8:2", "--layout", "pairs", "--labels", "a,b", "--band", "nir", "--seed", "3"]
    words += ["--epochs", "4", "--steps", "9", "--minutes", "1.5", "--batch", "16", "--learning-rate", "0.01"]
    words += ["--dropout", "0.1", "--modality-dropout", "0.2", "--no-flip", "--towers", "v.pt", "i.pt"]
    words += ["--validation-share", "0.2", "--optimiser", "sgd:0.9", "--schedule", "step:2:0.5", "--head-rate", "2"]
    words += ["--weight-decay", "0.1", "--label-smoothing", "0.2", "--crop", "0.1", "--rotation", "5", "--padding", "3"]
    words += ["--moved", "0.5", "--erasing", "0.3", "--offline", "naseem2025", "--apart", "--sampler", "class-cyclic"]
    words += ["--epoch-samples", "90", "--arithmetic", "fp32", "--patience", "4", "--resume", "--log", "x.csv"]
    words += ["--tensorboard", "board", "--stage", "head", "--composite", "2018", "--backgrounds", "pictures"]
    assert main(words) == 0
    assert asked == [
        TrainSpec(
            network="viri-fusion",
            data="synthetic:80:1",
            output=Path("x.pt"),
            options={"width": "0.25", "size": "64"},
            validation="synthetic:8:2",
            validation_share=0.2,
            layout="pairs",
            labels=("a", "b"),
            band="nir",
            seed=3,
            epochs=4,
            steps=9,
            minutes=1.5,
            batch=16,
            learning_rate=0.01,
            dropout=0.1,
            modality_dropout=0.2,
            flip=False,
            towers=(Path("v.pt"), Path("i.pt")),
            optimiser="sgd:0.9",
            schedule="step:2:0.5",
            head_rate=2.0,
            weight_decay=0.1,
            label_smoothing=0.2,
            crop=0.1,
            rotation=5.0,
            padding=3,
            moved=0.5,
            erasing=0.3,
            offline="naseem2025",
            apart=True,
            sampler="class-cyclic",
            epoch_samples=90,
            arithmetic="fp32",
            patience=4,
            resume=True,
            log=Path("x.csv"),
            tensorboard=Path("board"),
            stage="head",
            composite="2018",
            backgrounds=Path("pictures"),
        )
    ]


@pytest.mark.parametrize(("flag", "count"), [("--trunk", 1), ("--backbones", 2)])
def test_what_a_training_starts_from(asked: list[TrainSpec], flag: str, count: int) -> None:
    files = ["a.pt", "b.pt"][:count]
    assert main(["train", "backbone", "--data", "d", "-o", "x.pt", flag, *files]) == 0
    value = getattr(asked[0], flag.removeprefix("--"))
    assert value == (Path("a.pt") if count == 1 else (Path("a.pt"), Path("b.pt")))


def test_a_recipe_and_what_is_given_besides(asked: list[TrainSpec]) -> None:
    words = ["train", "viri-fusion", "--data", "d", "-o", "x.pt", "--recipe", "naseem2025", "--batch", "8"]
    assert main([*words, "--option", "width=0.5", "--no-apart"]) == 0
    (spec,) = asked
    assert (spec.recipe, spec.batch, spec.learning_rate, spec.schedule) == ("naseem2025", 8, 1e-3, "cosine:3")
    assert (spec.options, spec.offline, spec.apart) == ({"loss": "ce_on_softmax", "width": "0.5"}, "naseem2025", False)


def test_recipes_are_listed(capsys: Capture) -> None:
    assert main(["train", "--recipes"]) == 0
    shown = capsys.readouterr().out
    for recipe in real.RECIPES:
        assert recipe.name in shown
    assert "schedule=cosine-as-run:3" in shown
    assert main(["train", "ml-net", "--recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["recipes"]
    assert [each["name"] for each in listed] == ["ml-net", "sane"]
    assert listed[0]["settings"]["patience"] == 5
    assert main(["train", "nothing", "--recipes"]) == 2


def test_folds_are_counted_one_by_one_and_together(asked: list[TrainSpec], capsys: Capture) -> None:
    words = ["train", "viri-visible", "--data", "d", "-o", "x.pt", "--folds", "3"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "9  12   75.00 %  46.77 % to 91.11 %  x-folds.json" in shown
    assert "does not tell people apart" in shown
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pooled"]["correct"], said["pooled"]["count"], len(said["folds"])) == (9, 12, 3)


def test_without_flags_the_defaults_are_those_of_the_specification(asked: list[TrainSpec]) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt", "--weights", "w.pt"]) == 0
    assert asked == [TrainSpec(network="viri-visible", data="d", output=Path("x.pt"), weights=Path("w.pt"))]


def test_without_flags_a_network_without_batch_norm_gets_its_smaller_rate(asked: list[TrainSpec]) -> None:
    assert main(["train", "saliency-alexnet", "--data", "d", "-o", "x.pt"]) == 0
    assert (asked[0].learning_rate, asked[0].batch, asked[0].recipe) == (5e-4, 32, None)


def test_the_result_under_json(asked: list[TrainSpec], capsys: Capture) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["correct"], said["count"], said["accuracy"]) == ("x.pt", 7, 8, 0.875)
    assert len(said["history"]) == 3


def test_the_result_in_words(asked: list[TrainSpec], capsys: Capture) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt"]) == 0
    shown = capsys.readouterr().out
    assert "7 of 8 right (87.50 %, 95 % interval 52.91 % to 97.76 %), after epoch 2 of 3" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "missing/x.pt"], "folder that does not exist"),
        (["-o", "."], "a file is expected"),
        (["-o", "x.pt", "--option", "width"], "KEY=VALUE"),
        (["-o", "x.pt", "--epochs", "many"], "--epochs"),
        ([], "--output: needed to train"),
        (["-o", "x.pt", "--recipe", "ml-net"], "is for ml-net"),
        (["-o", "x.pt", "--schedule", "cosine"], "is no schedule"),
        (["-o", "x.pt", "--log", "missing/x.csv"], "folder that does not exist"),
    ],
)
def test_what_cannot_be_asked_for(asked: list[TrainSpec], capsys: Capture, words: list[str], said: str) -> None:
    assert main(["train", "viri-visible", "--data", "d", *words]) == 2
    assert said in capsys.readouterr().err
    assert asked == []
