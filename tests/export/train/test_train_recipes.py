"""Recipes: the published settings, what overrides them, and that every one can be trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import UsageError  # noqa: E402
from edgefer_export.checkpoint import read_metadata  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.train import RECIPES, TrainSpec, recipes_for, spec_from, train  # noqa: E402
from edgefer_export.train.objective import OwnObjective  # noqa: E402
from edgefer_export.train.recipes import find  # noqa: E402
from edgefer_export.train.recipes.sane import SMALL_RATE  # noqa: E402
from edgefer_export.train.spec import DEFAULT_EPOCHS  # noqa: E402
from edgefer_export.train.stages import stage_of  # noqa: E402

PAIRS = [(recipe.name, network) for recipe in RECIPES for network in recipe.networks or registry.names()]


def made(name: str | None, network: str, **given: Any) -> TrainSpec:
    return spec_from(name, network=network, data="synthetic:80:1", output=Path("a.pt"), **given)


@pytest.mark.parametrize(("name", "network"), PAIRS)
def test_every_recipe_is_a_training_of_its_networks(name: str, network: str) -> None:
    spec = made(name, network, options={"width": "0.0625"})
    with torch.device("meta"):
        module = registry.create(network, spec.options).module
        stage_of(module, spec.stage, network)
    assert spec.recipe == name


@pytest.mark.parametrize("name", list(dict.fromkeys(recipe.name for recipe in RECIPES)))
def test_every_recipe_takes_a_step(name: str, squares: type, tmp_path: Path) -> None:
    network = next(recipe for recipe in RECIPES if recipe.name == name).networks[-1]
    options = {"width": "0.0625", "size": "64"}
    if network == "ml-net":
        options = {"width": "0.0625", "height": "32", "width_px": "32"}
    if network == "saliency-alexnet":
        options["saliency"] = "false"
    data = "synthetic:16:1" if network == "ml-net" else squares(16)
    given = {"options": options, "data": data, "output": tmp_path / "a.pt", "steps": 1, "batch": 4, "epoch_samples": 8}
    result = train(spec_from(name, network=network, **given))
    assert result.steps == 1
    metadata = read_metadata(result.path)
    assert metadata is not None
    assert metadata.notes["recipe"] == name


def test_names_are_of_one_recipe_for_a_network() -> None:
    for network in registry.names():
        named = [recipe.name for recipe in RECIPES if network in recipe.networks]
        assert len(named) == len(set(named)), network
        assert {*named, "sane"} == {recipe.name for recipe in recipes_for(network)}


def test_naseem_2025_as_it_was_run() -> None:
    one, both = made("naseem2025", "viri-visible"), made("naseem2025", "viri-fusion")
    for spec in (one, both):
        assert (spec.optimiser, spec.learning_rate, spec.weight_decay, spec.batch) == ("adam", 1e-3, 0.0, 64)
        assert (spec.options["loss"], spec.offline, spec.flip, spec.crop) == ("ce_on_softmax", "naseem2025", False, 0.0)
        assert (spec.label_smoothing, spec.patience, spec.dropout) == (0.0, None, None)
    assert (one.schedule, one.epochs) == ("cosine-as-run:3", 50)
    assert (both.schedule, both.epochs, both.apart) == ("cosine:3", 150, True)
    assert not made("naseem2025-shared", "viri-fusion").apart


@pytest.mark.parametrize(
    ("name", "network", "schedule", "epochs", "samples", "batch", "options"),
    [
        ("feratt-2018", "feratt-paper", "step:100:0.1", 500, 70_000, 240, ("2018", "1", "128")),
        ("feratt-2019-03", "feratt", "step:500:0.1", 1000, 50_000, 240, ("2019-03", "1", "128")),
        ("feratt-2019-04", "feratt", "constant", 500, 288_000, 32, ("2019-04", "0.5", "64")),
    ],
)
def test_feratt_by_date(
    name: str, network: str, schedule: str, epochs: int, samples: int, batch: int, options: tuple[str, ...]
) -> None:
    spec = made(name, network)
    assert (spec.optimiser, spec.learning_rate, spec.weight_decay) == ("adam:amsgrad", 1e-4, 0.0)
    assert (spec.schedule, spec.epochs, spec.epoch_samples, spec.batch) == (schedule, epochs, samples, batch)
    assert tuple(spec.options[key] for key in ("reconstruction", "sigma", "size")) == options
    assert (spec.sampler, spec.composite) == ("class-cyclic", name.removeprefix("feratt-"))


def test_ml_net_and_its_classifier() -> None:
    net = made("ml-net", "ml-net")
    assert (net.optimiser, net.learning_rate, net.schedule) == ("sgd:0.9:nesterov", 1e-3, "inverse:0.0005")
    assert (net.batch, net.epochs, net.patience) == (10, 20, 5)
    classifier = made("mavani2017", "saliency-alexnet")
    assert (classifier.learning_rate, classifier.head_rate, classifier.weight_decay) == (1e-3, 10.0, 5e-4)


@pytest.mark.parametrize("network", ["backbone", "fusion-attention", "late-fusion", "early-fusion", "joint-fusion"])
def test_vgg_trunks_take_a_tenth_of_the_rate_on_raf_db(network: str) -> None:
    plain, vgg = made("raf-db", network), made("raf-db-vgg", network)
    assert vgg == replace(plain, recipe="raf-db-vgg", learning_rate=0.01)
    recipe = find("raf-db-vgg", network)
    assert "learning_rate" in recipe.ours
    assert "vgg11, vgg13" in recipe.summary
    assert "ResNet" in find("raf-db", network).summary


def test_dan_on_raf_db() -> None:
    spec = made("raf-db", "backbone")
    assert (spec.optimiser, spec.learning_rate, spec.weight_decay) == ("sgd:0.9", 0.1, 1e-4)
    assert (spec.schedule, spec.epochs, spec.batch) == ("step:10:0.1", 40, 256)
    assert (spec.rotation, spec.padding, spec.moved, spec.erasing) == (20.0, 32, 0.2, 0.25)


@pytest.mark.parametrize("network", registry.names())
def test_sane_is_what_happens_without_a_recipe(network: str) -> None:
    plain, named = made(None, network), made("sane", network)
    assert named.epochs == DEFAULT_EPOCHS
    assert plain == replace(named, recipe=None, epochs=None)
    small = network in SMALL_RATE
    assert (plain.learning_rate, plain.batch) == ((5e-4, 32) if small else (4e-3, 64))


def test_labels_are_smoothed_where_a_loss_looks_at_them() -> None:
    for network in registry.names():
        with torch.device("meta"):
            own = isinstance(registry.create(network).module, OwnObjective)
        assert made(None, network).label_smoothing == (0.0 if own else 0.05), network


def test_without_copies_they_are_not_changed_apart() -> None:
    assert not made("naseem2025", "viri-fusion", offline="none").apart
    with pytest.raises(UsageError, match="apart is for the copies of offline"):
        made("naseem2025", "viri-fusion", offline="none", apart=True)


def test_networks_with_batch_norm_throughout_keep_the_defaults_of_the_specification() -> None:
    others = set(registry.names()) - set(SMALL_RATE)
    assert {"viri-visible", "viri-infrared", "viri-fusion", "cbam-early-fusion"} <= others
    for network in others:
        assert made(None, network) == TrainSpec(network, "synthetic:80:1", Path("a.pt"))
        assert made(None, network, steps=3) == TrainSpec(network, "synthetic:80:1", Path("a.pt"), steps=3)
    assert set(SMALL_RATE) <= set(registry.names())


def test_what_is_given_wins_over_the_recipe_one_by_one() -> None:
    spec = made("naseem2025", "viri-fusion", batch=8, options={"width": "0.25"}, steps=7)
    assert (spec.batch, spec.learning_rate) == (8, 1e-3)
    assert spec.options == {"loss": "ce_on_softmax", "width": "0.25"}
    assert (spec.steps, spec.epochs) == (7, None)
    assert made("naseem2025", "viri-fusion", options={"loss": "ce_on_logits"}).options["loss"] == "ce_on_logits"


def test_unknown_recipes_and_recipes_of_others() -> None:
    with pytest.raises(UsageError, match="no recipe 'naseem'") as caught:
        find("naseem", "viri-visible")
    assert "naseem2025" in caught.value.hint
    with pytest.raises(UsageError, match=r"ml-net is for ml-net, not for viri-visible") as caught:
        find("ml-net", "viri-visible")
    assert "naseem2025, sane" in caught.value.hint
