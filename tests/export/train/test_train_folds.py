"""Cross-validation by people: every sample tested once, and going on after an interrupt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

import torch

from edgefer.errors import CheckpointError, UsageError
from edgefer_export.intervals import wilson
from edgefer_export.train import TrainSpec, as_json, cross_validate, folds

Make = Callable[..., TrainSpec]


def test_every_sample_is_tested_once_by_a_network_that_has_not_seen_the_person(
    spec: Make, squares: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = spec(data=squares(48), epochs=1, log=spec().output.with_suffix(".csv"))
    tested: list[tuple[set[str], set[str]]] = []
    original = folds._fold

    def fold(number: int, one: TrainSpec, test: Any, reporter: Any) -> Any:
        tested.append((set(one.data.subjects), set(test.subjects)))  # type: ignore[union-attr]
        return original(number, one, test, reporter)

    monkeypatch.setattr(folds, "_fold", fold)
    result = cross_validate(asked, 3)
    assert all(not trained & test for trained, test in tested)
    assert set().union(*(test for _, test in tested)) == {f"person {index}" for index in range(12)}
    assert (result.count, result.by_subject) == (48, True)
    assert [fold.path.name for fold in result.folds] == [f"a-fold-{number}.pt" for number in (1, 2, 3)]
    for fold in result.folds:
        assert fold.path.exists()
        assert fold.path.with_suffix(".csv").exists()
        assert sum(fold.class_correct) == fold.correct
        assert sum(fold.class_count) == fold.count
        assert fold.samples + fold.validation_count + fold.count == 48
    written = json.loads(result.path.read_text())
    pooled = wilson(result.correct, 48)
    assert result.path.name == "a-folds.json"
    for said in (written["pooled"], as_json(result)["pooled"]):
        assert (said["correct"], said["count"]) == (result.correct, 48)
        assert (said["low"], said["high"]) == (pooled.low, pooled.high)
    assert json.loads(json.dumps(as_json(result)))["folds"] == written["folds"]


def test_folds_go_on_after_an_interrupt(spec: Make, squares: type, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spec(data=squares(32), epochs=1, resume=True)
    original, trained = folds.train, []

    def train(one: TrainSpec, reporter: Any) -> Any:
        trained.append(one.output.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return original(one, reporter)

    monkeypatch.setattr(folds, "train", train)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(asked, 2)
    result = cross_validate(asked, 2)
    assert trained == ["a-fold-1.pt", "a-fold-2.pt", "a-fold-2.pt"]
    assert [fold.fold for fold in result.folds] == [1, 2]
    assert result.count == 32
    with pytest.raises(CheckpointError, match="another training: seed was 0, is 1"):
        cross_validate(replace(asked, seed=1), 2)
    with pytest.raises(CheckpointError, match="another training: folds was 2, is 4"):
        cross_validate(asked, 4)
    with pytest.raises(CheckpointError, match="another training: pixels was"):
        cross_validate(replace(asked, data=squares(32, seed=2)), 2)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": "other", "version": 1}', '{"format": "edgefer-folds", "version": 1}']
)
def test_a_file_that_holds_no_folds(spec: Make, text: str) -> None:
    asked = spec(resume=True)
    (asked.output.parent / "a-folds.json").write_text(text)
    with pytest.raises(CheckpointError, match="does not hold the figures of folds"):
        cross_validate(asked, 2)


@pytest.mark.parametrize(
    ("name", "count"), [("weights", 1), ("towers", 2), ("backbones", 2)], ids=["weights", "towers", "backbones"]
)
def test_weights_that_may_have_seen_the_people_of_a_test(spec: Make, tmp_path: Path, name: str, count: int) -> None:
    files = (tmp_path / "one.pt", tmp_path / "two.pt")
    with pytest.raises(UsageError, match=f"the same {name}, which may have been trained on the people") as caught:
        cross_validate(spec(**{name: files[0] if count == 1 else files}), 2)
    assert "--trunk" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_trunk_has_seen_nobody(spec: Make, squares: type, tmp_path: Path) -> None:
    from edgefer_export.networks.resnet import ResNetTrunk

    torch.save(ResNetTrunk(3, 0.125).state_dict(), tmp_path / "resnet18.pth")
    result = cross_validate(spec(data=squares(16), trunk=tmp_path / "resnet18.pth", epochs=1), 2)
    assert result.count == 16


def test_what_cannot_be_cross_validated(spec: Make, squares: type, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2 folds"):
        cross_validate(spec(), 1)
    with pytest.raises(UsageError, match="too few for 40"):
        cross_validate(spec(), 40)
    with pytest.raises(UsageError, match="validation"):
        cross_validate(spec(validation=squares(8)), 2)
    with pytest.raises(UsageError, match="does not classify"):
        cross_validate(spec(network="ml-net", options={"width": "0.0625"}), 2)
