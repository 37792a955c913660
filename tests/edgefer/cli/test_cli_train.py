"""train: what it asks the training for, and what it says of the result."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edgefer.cli.main import main

pytest.importorskip("torch")

from edgefer_export.train import EpochFigure, TrainResult, TrainSpec

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

    module = types.ModuleType("edgefer_export.train")
    module.train = train  # type: ignore[attr-defined]
    module.TrainSpec = TrainSpec  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edgefer_export.train", module)
    monkeypatch.chdir(tmp_path)
    return specs


def test_flags_become_the_specification(asked: list[TrainSpec]) -> None:
    words = ["train", "viri-fusion", "--data", "synthetic:80:1", "-o", "x.pt", "--option", "width=0.25", "size=64"]
    words += ["--validation", "synthetic:8:2", "--layout", "pairs", "--labels", "a,b", "--band", "nir", "--seed", "3"]
    words += ["--epochs", "4", "--steps", "9", "--minutes", "1.5", "--batch", "16", "--learning-rate", "0.01"]
    words += ["--dropout", "0.1", "--modality-dropout", "0.2", "--no-flip", "--towers", "v.pt", "i.pt"]
    words += ["--validation-share", "0.2"]
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
        )
    ]


def test_without_flags_the_defaults_are_those_of_the_specification(asked: list[TrainSpec]) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt", "--weights", "w.pt"]) == 0
    assert asked == [TrainSpec(network="viri-visible", data="d", output=Path("x.pt"), weights=Path("w.pt"))]


def test_the_result_under_json(asked: list[TrainSpec], capsys: Capture) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["correct"], said["count"], said["accuracy"]) == ("x.pt", 7, 8, 0.875)
    assert len(said["history"]) == 3


def test_the_result_in_words(asked: list[TrainSpec], capsys: Capture) -> None:
    assert main(["train", "viri-visible", "--data", "d", "-o", "x.pt"]) == 0
    shown = capsys.readouterr().out
    assert "7 of 8 right (87.50 %), after epoch 2 of 3" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "missing/x.pt"], "folder that does not exist"),
        (["-o", "."], "a file is expected"),
        (["-o", "x.pt", "--option", "width"], "KEY=VALUE"),
        (["-o", "x.pt", "--epochs", "many"], "--epochs"),
    ],
)
def test_what_cannot_be_asked_for(asked: list[TrainSpec], capsys: Capture, words: list[str], said: str) -> None:
    assert main(["train", "viri-visible", "--data", "d", *words]) == 2
    assert said in capsys.readouterr().err
    assert asked == []
