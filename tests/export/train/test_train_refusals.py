"""What a training refuses or stops at, and what is on disk afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import CheckpointError, DataError, EnvironmentMismatch, TrainingError, UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.checkpoint import read_metadata  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402
from edgefer_export.train.loop import Trainer  # noqa: E402
from edgefer_export.train.setup import prepare  # noqa: E402

Make = Callable[..., TrainSpec]


def test_weights_of_another_network(spec: Make, tmp_path: Path) -> None:
    first = train(spec(output=tmp_path / "first.pt", epochs=1)).path
    with pytest.raises(
        CheckpointError, match="is a checkpoint of viri-visible, expected one of viri-infrared"
    ) as caught:
        train(spec(network="viri-infrared", weights=first))
    assert "give weights of viri-infrared" in caught.value.hint
    assert not spec().output.exists()


def test_weights_with_another_number_of_classes(spec: Make, tmp_path: Path, squares: type) -> None:
    first = train(spec(output=tmp_path / "first.pt", epochs=1)).path
    with pytest.raises(CheckpointError, match=r"has 2 classes \(a, b\), expected 3 \(a, b, c\)"):
        train(spec(data=_with_third(squares), weights=first))


def _with_third(squares: type) -> Any:
    class Three(squares):  # type: ignore[misc]
        def label(self, index: int) -> int:
            return index % 3

    return Three(64, labels=("a", "b", "c"))


def test_weights_for_other_classes_are_told(spec: Make, tmp_path: Path, squares: type) -> None:
    first = train(spec(output=tmp_path / "first.pt", epochs=1)).path
    reporter = Silent()
    train(spec(data=squares(64, labels=("x", "y")), weights=first, epochs=1), reporter)
    assert any("was trained for a, b" in note for note in reporter.notes)


def test_an_unknown_label_in_a_folder(spec: Make, tmp_path: Path) -> None:
    for label in ("happy", "sad", "bored"):
        folder = tmp_path / "data" / label
        folder.mkdir(parents=True)
        for index in range(4):
            cv2.imwrite(str(folder / f"{index}.png"), np.full((32, 32), 10 * index, np.uint8))
    with pytest.raises(DataError, match="bored"):
        train(spec(data=str(tmp_path / "data"), labels=("happy", "sad")))


def test_a_class_without_images(spec: Make, squares: type) -> None:
    with pytest.raises(DataError, match="nothing to train c on"):
        train(spec(data=squares(64, labels=("a", "b", "c"))))
    assert not spec().output.exists()


def _after(calls: list[int], count: int, then: Callable[[], Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return then() if len(calls) > count else original(*arguments, **options)

    return wrapped


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer_export.train import objective

    original = objective.F.cross_entropy
    bad = _after([], 4, lambda: torch.tensor(float("nan")), original)
    monkeypatch.setattr(objective.F, "cross_entropy", bad)
    with pytest.raises(TrainingError, match=r"became nan .*\(step 5 of 12\)") as caught:
        train(spec(resume=True))
    assert "keeps epoch 1" in caught.value.hint
    metadata = read_metadata(spec().output)
    assert metadata is not None
    assert metadata.notes["epoch"] == 1


def test_weights_that_are_no_numbers_after_the_last_step(spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Trainer.step, []

    def step(self: Trainer, *arguments: Any) -> dict[str, float]:
        values = original(self, *arguments)
        calls.append(1)
        if len(calls) == 6:  # the last of the second epoch: no loss is computed from these weights any more
            with torch.no_grad():
                next(self.module.parameters()).fill_(float("inf"))
        return values

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(TrainingError, match="not finite") as caught:
        train(spec(epochs=2))
    assert "keeps epoch 1" in caught.value.hint


@pytest.mark.parametrize("resume", [False, True])
def test_a_full_disk_leaves_what_was_there(spec: Make, monkeypatch: pytest.MonkeyPatch, resume: bool) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = 2 if resume else 1  # the first epoch's checkpoint, and its state
    monkeypatch.setattr("edgefer.atomic.os.fsync", _after([], written, full, os.fsync))
    monkeypatch.setattr(Trainer, "correct", lambda self, cache: 1)
    with pytest.raises(TrainingError, match="epoch 2 cannot be written: No space left") as caught:
        train(spec(resume=resume))
    assert "keeps epoch 1" in caught.value.hint
    metadata = read_metadata(spec().output)
    assert metadata is not None
    assert metadata.notes["epoch"] == 1
    assert not list(spec().output.parent.glob(".*.part"))


def test_tensorboard_that_is_not_installed(spec: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EnvironmentMismatch, match="tensorboard is not installed") as caught:
        train(spec(tensorboard=tmp_path / "board"))
    assert "pip install tensorboard" in caught.value.hint


def test_backgrounds_without_compositing(spec: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backgrounds"):
        spec(backgrounds=tmp_path)


@pytest.mark.parametrize("changes", [{"modality_dropout": 0.2}, {"apart": True, "offline": "naseem2025"}])
def test_what_is_for_two_cameras_where_there_is_one(spec: Make, changes: dict[str, Any]) -> None:
    name = next(iter(changes))
    with pytest.raises(UsageError, match=f"{name} is for networks of two cameras, and viri-visible takes visible"):
        train(spec(**changes))
    assert not spec().output.exists()


@pytest.mark.parametrize(("smoothing", "noted"), [(0.1, 1), (0.0, 0)])
def test_a_smoothing_that_no_loss_looks_at_is_noted(spec: Make, smoothing: float, noted: int) -> None:
    options = {"width": "0.0625", "height": "32", "width_px": "32"}
    reporter = Silent()
    prepare(spec(network="ml-net", options=options, data="synthetic:16:1", label_smoothing=smoothing), reporter)
    assert sum("label_smoothing=0.1 does nothing: ml-net" in note for note in reporter.notes) == noted


def test_compositing_for_a_pair_of_cameras(spec: Make) -> None:
    with pytest.raises(UsageError, match="one visible image"):
        train(spec(network="viri-fusion", composite="2018"))
