"""Optimisers: which parameters get which rate and decay."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.train import TrainSpec  # noqa: E402
from edgefer_export.train.loop import Trainer  # noqa: E402
from edgefer_export.train.optimisers import last_layer, make_optimiser, set_rate  # noqa: E402
from edgefer_export.train.stages import Stage, stage_of  # noqa: E402


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def stage(module: nn.Module, factors: Mapping[str, float] | None = None) -> Stage:
    made = Stage(module, None, factors or {})
    made.apply()
    return made


def settings(optimiser: torch.optim.Optimizer) -> dict[int, tuple[float, float]]:
    """Rate and decay by parameter."""
    return {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize(
    ("text", "kind", "fields"),
    [
        ("adamw", torch.optim.AdamW, {"fused": True}),
        ("adam", torch.optim.Adam, {"amsgrad": False}),
        ("adam:amsgrad", torch.optim.Adam, {"amsgrad": True}),
        ("sgd:0.9", torch.optim.SGD, {"momentum": 0.9, "nesterov": False}),
        ("sgd:0.9:nesterov", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ("sgd:0", torch.optim.SGD, {"momentum": 0.0}),
    ],
)
def test_optimisers_are_torchs(text: str, kind: type, fields: dict[str, object]) -> None:
    optimiser = make_optimiser(text, stage(network()), learning_rate=0.1, weight_decay=0.2)
    assert type(optimiser) is kind
    assert fields.items() <= optimiser.defaults.items()


def test_adamw_decays_matrices_and_sgd_everything() -> None:
    module = network()
    adamw = settings(make_optimiser("adamw", stage(module), learning_rate=0.1, weight_decay=0.2))
    sgd = settings(make_optimiser("sgd:0.9", stage(module), learning_rate=0.1, weight_decay=0.2))
    for parameter in module.parameters():
        assert adamw[id(parameter)] == (0.1, 0.2 if parameter.ndim > 1 else 0.0)
        assert sgd[id(parameter)] == (0.1, 0.2)


def test_the_last_layer_gets_its_own_rate() -> None:
    module = network()
    optimiser = make_optimiser("sgd:0.9", stage(module), learning_rate=1.0, weight_decay=0.0, head_rate=10.0)
    set_rate(optimiser, 0.01)
    rates = {key: rate for key, (rate, _) in settings(optimiser).items()}
    assert [rates[id(p)] for p in module[2].parameters()] == pytest.approx([0.1, 0.1])
    assert [rates[id(p)] for p in module[:2].parameters()] == pytest.approx([0.01] * 4)
    assert last_layer(module) is module[2]


def test_frozen_parts_are_left_out_and_slow_ones_keep_their_factor() -> None:
    module = network()
    optimiser = make_optimiser("adam", stage(module, {"0": 0.0, "1": 0.1}), learning_rate=1.0, weight_decay=0.0)
    set_rate(optimiser, 0.5)
    found = settings(optimiser)
    assert not any(id(parameter) in found for parameter in module[0].parameters())
    assert [found[id(p)][0] for p in module[1].parameters()] == pytest.approx([0.05, 0.05])
    assert {found[id(p)][0] for p in module[2].parameters()} == {0.5}


def test_nothing_left_to_train() -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        make_optimiser("adam", stage(network(), {"0": 0.0, "1": 0.0, "2": 0.0}), learning_rate=1.0, weight_decay=0.0)


def test_no_last_layer() -> None:
    with pytest.raises(UsageError, match="has none"):
        make_optimiser("adam", stage(nn.Conv2d(1, 1, 1)), learning_rate=1.0, weight_decay=0.0, head_rate=2.0)


@pytest.mark.parametrize(
    "text",
    ["adamx", "sgd", "sgd:1", "sgd:-0.1", "sgd:much", "sgd:0:nesterov", "sgd:0.9:nest", "adam:0.9", "adamw:x", ""],
)
def test_texts_that_are_no_optimiser(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_optimiser(text, stage(network()), learning_rate=1.0, weight_decay=0.0)
    assert caught.value.hint


def test_a_stage_freezes_weights_statistics_and_dropout(spec: Callable[..., TrainSpec]) -> None:
    from edgefer_export.networks import registry

    options = {"width": "0.125", "size": "32", "backbones": "resnet18+resnet34"}
    module = registry.create("fusion-attention", options).module
    trainer = Trainer(module, spec(network="fusion-attention", options=options, stage="head"), "ce_on_logits", "fp32")
    trainer.train()
    assert not module.first.training
    assert module.head.training
    assert not any(parameter.requires_grad for parameter in module.second.parameters())
    with pytest.raises(UsageError, match="no stage 'heads'"):
        stage_of(module, "heads", "fusion-attention")
    with pytest.raises(UsageError, match="in one stage"):
        Trainer(network(), spec(stage="head"), "ce_on_logits", "fp32")
