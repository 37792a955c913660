"""The study: it goes on where it stopped, sums up rightly, and keeps its sets apart."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import study_run
from benchmarks.study_data import MOUTH_SIZE, View, crop, draw
from benchmarks.study_results import (
    SUBSETS,
    NetworkFigure,
    Protocol,
    SeedFigure,
    Study,
    estimate,
    markdown,
    subsets,
    summarise,
)
from edgefer.progress import Silent
from edgefer_export.data.synthetic import SyntheticPairs

TINY = Protocol(
    train_pairs=40,
    validation_pairs=20,
    test_pairs=20,
    baseline_pairs=40,
    width=0.125,
    batch=20,
    epochs=dict.fromkeys(study_run.NETWORKS, 1),
    processes=1,
)


def _figure(seed: int = 1, fused: int = 95, visible: int = 85, clear: int = 48, seconds: float = 500.0) -> SeedFigure:
    def network(right: int, clear_right: int) -> NetworkFigure:
        counts = dict.fromkeys(SUBSETS, (right, 100)) | {"day, no glasses": (clear_right, 50)}
        return NetworkFigure(counts, (9, 10), 100, "fp32", seconds / 4)

    networks = {
        "visible": network(visible, 48),
        "infrared": network(80, 40),
        "fused": network(fused, clear),
        "mouth": network(60, 30),
    }
    return SeedFigure(seed, networks, 0.4, 0.25, seconds)


def test_goes_on_network_by_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    original = study_run.train

    def train(spec, reporter):  # type: ignore[no-untyped-def]
        name = spec.output.stem.rpartition("-")[2]
        if name == "fused" and "fused" not in trained:
            trained.append(name)
            raise KeyboardInterrupt
        trained.append(name)
        return original(spec, reporter)

    monkeypatch.setattr(study_run, "train", train)
    with pytest.raises(KeyboardInterrupt):
        study_run.run(TINY, 1, tmp_path, Silent())
    study = study_run.run(TINY, 1, tmp_path, Silent())
    assert trained == ["visible", "infrared", "fused", "fused", "mouth"]
    assert study_run.run(TINY, 1, tmp_path, Silent()) == study
    assert len(trained) == 5, "a finished seed is not touched again"
    assert study.seeds[0].networks["fused"].counts["all"][1] == 20
    again = msgspec.json.decode(msgspec.json.encode(study), type=Study)
    assert again.seeds == study.seeds


def test_another_protocol_or_source_is_another_folder() -> None:
    assert TINY.digest != Protocol().digest
    assert TINY.digest == msgspec.structs.replace(TINY).digest


def test_sets_of_a_seed_share_no_people(monkeypatch: pytest.MonkeyPatch) -> None:
    data = study_run._draw(TINY, 3, Silent())
    people = [set(each.subjects) for each in (data.train, data.validation, data.test)]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


def test_drawn_set_is_the_data_set(tmp_path: Path) -> None:
    pairs = SyntheticPairs(6, 5)
    drawn = draw(pairs, processes=1)
    face, mouth = View(drawn), View(drawn, "mouth")
    assert face[3].images["infrared"].shape == (64, 64)
    assert mouth[3].images["visible"].shape == (MOUTH_SIZE, MOUTH_SIZE, 3)
    assert mouth.roles == ("visible",)
    assert [face[i].label for i in range(6)] == [pairs.label(i) for i in range(6)]
    assert [face.subject(i) for i in range(6)] == [pairs.subject(i) for i in range(6)]


def test_crop_repeats_the_border() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    part = crop(picture, (-1, 0, 1, 3))
    assert part.shape == (2, 3, 3)
    assert np.array_equal(part[0], picture[0][[0, 1, 1]])


def test_subsets_count_right_and_all() -> None:
    pairs = SyntheticPairs(200, 4)
    conditions = [pairs.conditions(i) for i in range(200)]
    counts = subsets(np.array([c.day for c in conditions]), conditions)
    assert counts["all"] == (sum(c.day for c in conditions), 200)
    assert counts["dusk"][0] == 0
    assert counts["day, glasses"][0] == counts["day, glasses"][1] > 0


def test_interval_is_students() -> None:
    # Mean 3, deviation 1: half width 4.303 / sqrt(3).
    found = estimate([2.0, 3.0, 4.0])
    assert found.mean == 3.0
    assert found.high - found.mean == pytest.approx(4.303 / math.sqrt(3))
    assert estimate([1.0]).high is None


def test_goals_are_met_or_not() -> None:
    good = summarise(TINY, (_figure(1), _figure(2, fused=91)), {})
    assert [goal.met for goal in good.goals] == [False, *[True] * 5], "two seeds 4 points apart leave a wide interval"
    sure = summarise(TINY, tuple(_figure(seed) for seed in range(5)), {})
    assert all(goal.met for goal in sure.goals)
    poor = summarise(TINY, tuple(_figure(s, fused=86, clear=50, seconds=1000) for s in range(5)), {})
    assert [goal.met for goal in poor.goals] == [False, False, False, True, True, False]


def test_table_has_every_subset_and_goal() -> None:
    study = summarise(TINY, (_figure(1), _figure(2)), {})
    text = markdown(study)
    for name in SUBSETS:
        assert f"| {name} |" in text
    assert "95.0 (95.0–95.0)" in text
    assert text.count("| yes |") + text.count("| no |") == len(study.goals)
