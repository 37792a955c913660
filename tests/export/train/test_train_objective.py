"""Objectives: of the network itself or cross-entropy; and networks that do not classify."""

from __future__ import annotations

import csv
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from edgefer_export.data.dataset import Sample  # noqa: E402
from edgefer_export.networks.forward import forward  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402
from edgefer_export.train.log import CsvLog, open_logs  # noqa: E402
from edgefer_export.train.objective import CROSS_ENTROPY, Objective  # noqa: E402
from edgefer_export.train.result import EpochFigure  # noqa: E402

Make = Callable[..., TrainSpec]


class Twofold(nn.Module):
    """Classifies, and wants its score near the target `clean`."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)

    def losses(
        self, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        assert set(inputs) == {"x"}
        logits = self(inputs["x"])
        return {
            "class": nn.functional.cross_entropy(logits, labels),
            "clean": (logits - targets["clean"]).square().mean(),
        }


def test_a_network_says_its_own_terms_and_gets_its_targets() -> None:
    module = Twofold()
    batch = {"x": torch.rand(5, 4), "clean": torch.rand(5, 3)}
    labels = torch.tensor([0, 1, 2, 1, 0])
    objective = Objective(module, ("x",), on_softmax=False, smoothing=0.1, half=False)
    terms = objective.terms(batch, labels)
    logits = batch["x"].double() @ module.fc.weight.double().T + module.fc.bias.double()
    expected = {
        "class": -torch.log_softmax(logits, 1)[torch.arange(5), labels].mean(),
        "clean": ((logits - batch["clean"]) ** 2).mean(),
    }
    assert objective.own
    assert list(terms) == ["class", "clean"]
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5)


@pytest.mark.parametrize("on_softmax", [False, True])
def test_other_networks_minimise_cross_entropy(on_softmax: bool) -> None:
    module = nn.Linear(4, 3)
    x, labels = torch.rand(6, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    terms = Objective(module, (), on_softmax=on_softmax, smoothing=0.0, half=False).terms({"input": x}, labels)
    logits = forward(module, {"input": x})["logits"].double()
    scores = torch.softmax(logits, 1) if on_softmax else logits
    expected = -torch.log_softmax(scores, 1)[torch.arange(6), labels].mean()
    assert float(terms[CROSS_ENTROPY].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_each_term_is_logged_and_the_loss_is_their_sum(spec: Make, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    asked = spec(
        network="feratt",
        options={"width": "0.125", "size": "64", "dim": "8", "labels": "auto", "classes": "2"},
        composite="2019-04",
        flip=False,
        crop=0.0,
        epochs=1,
        steps=2,
        batch=8,
        log=log,
        learning_rate=1e-4,
    )
    figure = train(asked).history[-1]
    assert set(figure.losses) == {"cross-entropy", "gaussian-structure", "reconstruction"}
    assert figure.loss == pytest.approx(sum(figure.losses.values()))
    (row,) = csv.DictReader(log.read_text().splitlines())
    for name, value in figure.losses.items():
        assert float(row[f"loss {name}"]) == pytest.approx(value, rel=1e-6)


class Gazes:
    """A bright spot on grey, and the map that has it alone."""

    roles = ("visible", "saliency")
    labels = ("picture",)
    source = "gazes"

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        picture, gaze = rng.integers(60, 120, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
        row, column = rng.integers(0, 24, 2)
        picture[row : row + 8, column : column + 8] = 250
        gaze[row : row + 8, column : column + 8] = 255
        return Sample({"visible": picture, "saliency": gaze}, 0, str(index), str(index))


def test_a_network_that_does_not_classify_is_chosen_by_its_loss(spec: Make) -> None:
    asked = spec(
        network="ml-net",
        options={"width": "0.0625", "height": "32", "width_px": "32"},
        data=Gazes(),
        batch=6,
        epochs=3,
        schedule="constant",
        learning_rate=1e-3,
        patience=5,
        flip=True,
    )
    result = train(asked)
    losses = [figure.validation_loss for figure in result.history]
    assert None not in losses
    assert result.validation_loss == min(losses)  # type: ignore[type-var]
    assert (result.correct, result.accuracy, result.interval) == (None, None, None)
    assert set(result.history[0].losses) == {"saliency", "prior"}


def test_the_log_is_one_table_of_all_epochs(tmp_path: Path) -> None:
    figures = [
        EpochFigure(1, 3, 0.7, 4, 8, 1.5, {CROSS_ENTROPY: 0.7}, None, 0.004),
        EpochFigure(2, 3, 0.5, None, 8, 1.5, {"other": 0.5}, 0.25, 0.002),
    ]
    log = CsvLog(tmp_path / "log.csv")
    log(figures[:1])
    log(figures)
    rows: list[dict[str, Any]] = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert (rows[0]["correct"], rows[1]["correct"]) == ("4", "")
    assert (rows[0]["loss cross-entropy"], rows[0]["loss other"]) == ("0.7", "")
    assert (rows[1]["validation_loss"], rows[1]["rate"]) == ("0.25", "0.002")


def test_tensorboard_gets_what_the_log_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "board")

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

        def flush(self) -> None:
            written.append(("flushed", 0.0, 0))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    (log,) = open_logs(None, tmp_path / "board")
    log([EpochFigure(3, 3, 0.7, 4, 8, 1.5, {CROSS_ENTROPY: 0.7}, None, 0.004)])
    assert ("validation accuracy", 0.5, 3) in written
    assert ("loss/cross-entropy", 0.7, 3) in written
    assert written[-1][0] == "flushed"
    assert "validation loss" not in {name for name, _, _ in written}


def test_patience_ends_a_training(spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.train.loop import Trainer

    counts = iter([5, 7, 7, 6, 9, 9])
    monkeypatch.setattr(Trainer, "correct", lambda self, cache: next(counts))
    result = train(spec(epochs=6, patience=2))
    assert (result.stopped, len(result.history), result.best_epoch, result.correct) == ("no progress", 4, 3, 7)
