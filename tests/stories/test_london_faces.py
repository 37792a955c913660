"""Photographs that nobody here made: `viri-visible` learns from few of them and is right about people it never saw.

Face Research Lab London Set (DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666, CC BY 4.0): 40 people, one
neutral and one smiling photograph each.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer_export.data import open_dataset  # noqa: E402
from edgefer_export.data.dataset import Dataset  # noqa: E402
from edgefer_export.data.feeds import Feeds  # noqa: E402
from edgefer_export.data.splits import Subset  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402

FOLDS = 5
AT_LEAST = 60
OPTIONS = {"width": "0.25", "size": "64", "norm": "imagenet"}


@pytest.fixture(scope="module")
def faces() -> Dataset:
    folder = os.environ.get("EDGEFER_TEST_DATA")
    if folder is None or not (Path(folder) / "london_faces").is_dir():
        pytest.skip("EDGEFER_TEST_DATA names no folder with london_faces")
    return open_dataset(str(Path(folder) / "london_faces"), "folder:subjects=name", labels=("happy", "neutral"))


def test_forty_people_with_two_photographs_each(faces: Dataset) -> None:
    people = [faces[index].subject for index in range(len(faces))]
    assert len(people) == 80
    assert len(set(people)) == 40
    assert all(faces[index].images["visible"].shape == (480, 480, 3) for index in range(len(faces)))


@pytest.mark.slow
def test_five_folds_by_person(faces: Dataset, tmp_path: Path) -> None:
    people = sorted({faces[index].subject or "" for index in range(len(faces))})
    right = 0
    for fold in range(FOLDS):
        unseen = set(people[fold::FOLDS])
        held = [index for index in range(len(faces)) if faces[index].subject in unseen]
        seen = [index for index in range(len(faces)) if faces[index].subject not in unseen]
        right += _right(Subset(faces, seen), Subset(faces, held), tmp_path / f"fold{fold}.pt", fold)
    print(f"\n{right} of {len(faces)} right, {FOLDS} folds by person")
    assert right >= AT_LEAST


def _right(seen: Dataset, unseen: Dataset, checkpoint: Path, seed: int) -> int:
    """Train on one set and count the right answers on the other, whose people it does not know."""
    spec = TrainSpec(
        "viri-visible",
        seen,
        checkpoint,
        options=OPTIONS,
        labels=("happy", "neutral"),
        epochs=80,
        batch=16,
        learning_rate=2e-3,
        dropout=0.1,
        crop=0.1,
        validation_share=0.2,
        seed=seed,
    )
    from edgefer_export.checkpoint import load_weights
    from edgefer_export.networks import registry

    train(spec)
    network = registry.create("viri-visible", OPTIONS, labels=("happy", "neutral"))
    load_weights(network.module, checkpoint)
    network.module.eval()
    right = 0
    with torch.inference_mode():
        for example in Feeds(unseen, network.inputs).examples():
            logits = network.module(torch.from_numpy(example.tensors["visible"]))
            right += int(logits.argmax()) == example.record.label
    return right
