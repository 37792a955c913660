"""What a build rests on: options, labels and weights, each from the nearest place that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from edgefer.errors import CheckpointError, UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.checkpoint import metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.resolve import resolve  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
OUTPUT = Path("out.edgefer")


def build(**fields: Any) -> BuildSpec:
    return BuildSpec(**{"network": "viri-visible", "output": OUTPUT, "options": SMALL, **fields})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A viri-infrared with three classes of its own, made for near infrared."""
    network = registry.create("viri-infrared", {**SMALL, "gate": "linear"}, labels=("a", "b", "c"), band="nir")
    return save_checkpoint(tmp_path / "infrared.pt", network.module, metadata_of(network))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in ("calm", "cross"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(2):
            image = np.full((8, 8), 40 * index + len(label), np.uint8)
            assert cv2.imwrite(str(tmp_path / "data" / label / f"{index}.png"), image)
    return tmp_path / "data"


def test_without_weights_the_seed_decides_and_the_callers_generator_stays() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    told = Silent()
    first, again, other = (resolve(build(seed=seed), told).network.module.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert "recognise nothing" in told.notes[0]


def test_a_checkpoint_says_how_its_network_is_made(checkpoint: Path) -> None:
    resolved = resolve(build(network="viri-infrared", options={}, weights=checkpoint), Silent())
    network = resolved.network
    assert network.labels == ("a", "b", "c")
    assert (network.options["gate"], network.options["width"]) == ("linear", "0.125")
    assert [spec.image.band for spec in network.inputs if spec.image] == ["nir"]
    assert not network.module.training
    assert resolved.checkpoint is not None
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in network.module.state_dict().items())


def test_the_specification_wins_over_the_checkpoint(checkpoint: Path) -> None:
    spec = build(network="viri-infrared", options={"gate": "square"}, labels=("x", "y", "z"), band="lwir")
    told = Silent()
    network = resolve(BuildSpec(**{**vars(spec), "weights": checkpoint}), told).network
    said = "\n".join(told.notes)
    for change in (
        "gate=linear; --option gate=square",
        "labels a, b, c; its logits are called x, y, z",
        "on nir; --band",
    ):
        assert change in said
    assert (network.labels, network.options["gate"]) == (("x", "y", "z"), "square")
    assert [each.image.band for each in network.inputs if each.image] == ["lwir"]


def test_a_checkpoint_of_another_network_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="weights of viri-infrared, not of viri-visible"):
        resolve(build(weights=checkpoint), Silent())


def test_labels_come_from_the_data_where_nothing_else_names_them(folder: Path) -> None:
    resolved = resolve(build(evaluation=str(folder)), Silent())
    assert resolved.network.labels == ("calm", "cross")
    assert resolved.evaluation is not None
    assert tuple(resolved.evaluation.labels) == ("calm", "cross")


def test_the_order_of_the_labels_is_that_of_the_logits(folder: Path) -> None:
    resolved = resolve(build(evaluation=str(folder), labels=("cross", "calm")), Silent())
    assert resolved.evaluation is not None
    assert tuple(resolved.evaluation.labels) == ("cross", "calm")


def test_data_is_opened_where_it_is_used() -> None:
    data = {"calibration": "synthetic:4:1", "evaluation": "synthetic:4:2"}
    quantised = resolve(build(**data), Silent())
    assert quantised.calibration is not None
    assert quantised.evaluation is not None
    assert len(quantised.calibration) == 4
    assert resolve(build(**data, precision="fp32"), Silent()).calibration is None
    assert resolve(build(), Silent()).evaluation is None


def test_shapes_belong_to_networks_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`--input` is for FILE"):
        resolve(build(inputs={"visible": (3, 32, 32)}), Silent())
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))\n"
    )
    spec = build(network=f"{tmp_path / 'own.py'}:make", options={}, inputs={"visible": (3, 4, 4)}, labels=("no", "yes"))
    network = resolve(spec, Silent()).network
    assert network.labels == ("no", "yes")
    assert [each.shape for each in network.inputs] == [(1, 3, 4, 4)]
