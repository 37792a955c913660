"""A network is trained on data sets in the layouts of their distributions, with the labels and parts that they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer.progress import Silent
from edgefer_export.data.label_sets import LABEL_SETS
from edgefer_export.train import TrainSpec, train

SMALL = {"width": "0.0625", "size": "32"}


@pytest.mark.parametrize(
    ("network", "name", "data", "validation", "labels"),
    [
        ("viri-visible", "raf-db", "raf-db:part=train", "raf-db:part=test", "raf-db"),
        ("viri-visible", "rafd", "rafd:camera=frontal,labels=basic-7", None, "basic-7"),
        ("viri-fusion", "nvie", "nvie", None, "nvie"),
    ],
)
def test_a_training_takes_the_labels_and_parts_of_a_data_set(
    write: Callable[[str], Path],
    tmp_path: Path,
    network: str,
    name: str,
    data: str,
    validation: str | None,
    labels: str,
) -> None:
    root = write(name)
    reporter = Silent()
    result = train(
        TrainSpec(
            network=network,
            data=f"{data}@{root}",
            validation=None if validation is None else f"{validation}@{root}",
            validation_share=0.3,
            output=tmp_path / "weights.pt",
            options=SMALL,
            steps=2,
            batch=4,
        ),
        reporter,
    )
    assert result.labels == LABEL_SETS[labels]
    assert result.steps == 2
    if validation is not None:
        assert (result.samples, result.count) == (14, 7)
    # Whole people are held out where they are known, and nothing is said then.
    assert not any("does not say who is shown" in note for note in reporter.notes)
