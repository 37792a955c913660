"""Stages: what is frozen stays bit for bit, what is slowed is slowed, and unknown stages are errors."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.train.stages import Stage, Staged, stage_of  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
TRUNKS = ("first.", "second.")


def made(name: str, stage: str | None) -> Stage:
    torch.manual_seed(6)
    module = registry.create(name, SMALL).module
    return stage_of(module, stage, name)


def step(stage: Stage, rate: float = 0.1) -> dict[str, torch.Tensor]:
    """One step of plain gradient descent in this stage; the state from before it."""
    before = {name: tensor.clone() for name, tensor in stage.module.state_dict().items()}
    stage.apply()
    stage.train()
    groups = [{"params": parameters, "lr": rate * factor} for factor, parameters in stage.groups()]
    # A weight decay would move what has no gradient, were it in a group.
    optimiser = torch.optim.SGD(groups, weight_decay=0.1)
    logits = stage.module(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    optimiser.step()
    return before


def changed(stage: Stage, before: dict[str, torch.Tensor]) -> set[str]:
    after = stage.module.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize(("name", "stage"), [("fusion-attention", "head"), ("early-fusion", None)])
def test_frozen_trunks_stay_bit_for_bit(name: str, stage: str | None) -> None:
    chosen = made(name, stage)
    moved = changed(chosen, step(chosen))
    assert not [each for each in moved if each.startswith(TRUNKS)]
    assert [each for each in moved if each.startswith("head.")]
    assert chosen.module.head.training
    assert not any(part.training for part in chosen.module.first.modules())


@pytest.mark.parametrize(("name", "stage"), [("fusion-attention", None), ("joint-fusion", "end-to-end")])
def test_end_to_end_moves_weights_and_statistics_of_everything(name: str, stage: str | None) -> None:
    chosen = made(name, stage)
    moved = changed(chosen, step(chosen))
    assert {"first.conv1.weight", "second.layer4.2.bn2.running_mean", "head.0.weight"} <= moved
    assert [factor for factor, _ in chosen.groups()] == [1.0]


def test_fine_tuning_moves_trunks_at_a_tenth_of_the_rate() -> None:
    chosen = made("fusion-attention", "fine-tune")
    groups = dict(chosen.groups())
    trunks = [*chosen.module.first.parameters(), *chosen.module.second.parameters()]
    assert sorted(groups) == [0.1, 1.0]
    assert {id(each) for each in groups[0.1]} == {id(each) for each in trunks}
    assert sum(map(len, groups.values())) == len(list(chosen.module.parameters()))
    moved = changed(chosen, step(chosen))
    assert {"first.conv1.weight", "first.bn1.running_mean"} <= moved


def test_a_later_stage_thaws_what_an_earlier_one_froze() -> None:
    head = made("fusion-attention", "head")
    step(head)
    tuned = stage_of(head.module, "fine-tune", "fusion-attention")
    assert "second.layer1.0.conv1.weight" in changed(tuned, step(tuned))
    assert head.module.first.training


def test_the_first_stage_is_the_one_without_a_name() -> None:
    assert made("fusion-attention", None).name == "end-to-end"
    assert made("early-fusion", None).name == "head"
    assert made("joint-fusion", None).name == "end-to-end"


def test_a_network_without_stages_trains_all_of_itself() -> None:
    chosen = made("late-fusion", None)
    assert not isinstance(chosen.module, Staged)
    assert [(factor, len(each)) for factor, each in chosen.groups()] == [(1.0, len(list(chosen.module.parameters())))]


@pytest.mark.parametrize(
    ("name", "stage", "said"),
    [
        ("fusion-attention", "haed", "no stage 'haed'; it has end-to-end, head, fine-tune.*did you mean 'head'"),
        ("early-fusion", "fine-tune", "early-fusion has no stage 'fine-tune'; it has head"),
        ("late-fusion", "head", "late-fusion is trained in one stage and has no stage 'head'"),
    ],
)
def test_unknown_stages_are_errors(name: str, stage: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){said}"):
        made(name, stage)
