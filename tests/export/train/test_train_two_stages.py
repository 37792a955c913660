"""The recipe of two trunks from end to end: each alone, the head on both, then everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer.errors import UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
PAIR = {**SMALL, "backbones": "vgg11+resnet34"}


@pytest.fixture
def make(spec: Callable[..., TrainSpec], tmp_path: Path) -> Callable[..., TrainSpec]:
    return lambda name, **changes: spec(output=tmp_path / f"{name}.pt", epochs=1, **changes)


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_a_trunk_is_that_of_its_checkpoint_until_the_second_stage(make: Callable[..., TrainSpec]) -> None:
    first, second = (
        train(make(trunk, network="backbone", options={**SMALL, "backbone": trunk})).path
        for trunk in ("vgg11", "resnet34")
    )
    told = Silent()
    fields = {"network": "fusion-attention", "options": PAIR}
    head = train(make("head", backbones=(first, second), stage="head", **fields), told).path
    assert told.notes == []
    alone, fused = {"first": weights(first), "second": weights(second)}, weights(head)
    for place, state in alone.items():
        trunk = {name: tensor for name, tensor in state.items() if name.startswith("trunk.")}
        assert trunk
        assert all(torch.equal(fused[name.replace("trunk", place, 1)], tensor) for name, tensor in trunk.items())
    tuned = weights(train(make("tuned", weights=head, stage="fine-tune", **fields)).path)
    for name in ("first.features.0.weight", "second.conv1.weight", "second.bn1.running_mean", "head.0.weight"):
        assert not torch.equal(tuned[name], fused[name])


def test_frozen_trunks_that_were_never_trained_are_told(make: Callable[..., TrainSpec]) -> None:
    told = Silent()
    train(make("early", network="early-fusion", options=PAIR), told)
    assert any("leaves first and second as they are" in note and "--backbones" in note for note in told.notes)


def test_an_unknown_stage_is_refused_before_anything_is_written(make: Callable[..., TrainSpec]) -> None:
    wrong = make("wrong", network="joint-fusion", options=PAIR, stage="head")
    with pytest.raises(UsageError, match="joint-fusion has no stage 'head'; it has end-to-end"):
        train(wrong)
    assert not wrong.output.exists()
