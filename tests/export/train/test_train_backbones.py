"""Starting a network of two trunks from two checkpoints of `backbone`, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import CheckpointError, UsageError  # noqa: E402
from edgefer_export.checkpoint import metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.train.backbones import load_backbones  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}


def saved(folder: Path, trunk: str, name: str = "backbone", **options: str) -> Path:
    """A checkpoint of a backbone with weights of its own."""
    given = {**SMALL, "backbone": trunk} if name == "backbone" else SMALL
    network = registry.create(name, {**given, **options})
    return save_checkpoint(folder / f"{trunk}.pt", network.module, metadata_of(network))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return saved(tmp_path, "vgg11"), saved(tmp_path, "resnet34")


@pytest.mark.parametrize("name", ["fusion-attention", "late-fusion", "early-fusion", "joint-fusion"])
def test_both_trunks_are_those_of_the_checkpoints(name: str, pair: tuple[Path, Path]) -> None:
    network = registry.create(name, {**SMALL, "backbones": "vgg11+resnet34"})
    reports = load_backbones(network, pair)
    assert [report.path for report in reports] == list(pair)
    for place, path in zip(("first", "second"), pair, strict=True):
        stored = torch.load(path, weights_only=True)["state_dict"]
        trunk = getattr(network.module, place).state_dict()
        assert all(torch.equal(trunk[key], stored[f"trunk.{key}"]) for key in trunk)
        if name == "late-fusion":
            assert torch.equal(getattr(network.module, f"{place}_fc").weight, stored["fc.weight"])


def test_late_fusion_of_one_backbone_twice_is_that_backbone(tmp_path: Path) -> None:
    network = registry.create("late-fusion", {**SMALL, "backbones": "vgg11+vgg13"})
    paths = (saved(tmp_path, "vgg11"), saved(tmp_path, "vgg13"))
    load_backbones(network, paths)
    singles = []
    for path, trunk in zip(paths, ("vgg11", "vgg13"), strict=True):
        single = registry.create("backbone", {**SMALL, "backbone": trunk})
        single.module.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
        singles.append(single.module.eval())
    image = torch.rand(2, 3, 32, 32)
    mean = sum(torch.softmax(single(image), 1) for single in singles) / 2
    torch.testing.assert_close(network.module.eval()(image).exp(), mean)


def refused(name: str, paths: tuple[Path, Path], said: str, error: type[Exception] = CheckpointError) -> None:
    options = SMALL if name == "viri-visible" else {**SMALL, "backbones": "vgg11+resnet34"}
    network = registry.create(name, options)
    before = {key: tensor.clone() for key, tensor in network.module.state_dict().items()}
    with pytest.raises(error, match=f"(?s){said}"):
        load_backbones(network, paths)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.module.state_dict().items())


def test_a_network_of_one_trunk_has_no_place_for_two(pair: tuple[Path, Path]) -> None:
    said = "viri-visible does not start from two backbones.*fusion-attention, late-fusion"
    refused("viri-visible", pair, said, UsageError)


def test_the_order_is_that_of_the_option(pair: tuple[Path, Path]) -> None:
    refused("early-fusion", pair[::-1], "holds a backbone resnet34; the first one of backbones=vgg11.resnet34 is vgg11")


def test_a_checkpoint_of_another_network(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = saved(tmp_path, "other", "viri-visible")
    refused("fusion-attention", (pair[0], other), "holds viri-visible; the second trunk.*backbone=resnet34")


def test_weights_without_a_description(pair: tuple[Path, Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare.pt"
    torch.save(torch.load(pair[0], weights_only=True)["state_dict"], bare)
    refused("fusion-attention", (bare, pair[1]), "holds weights without a description")


@pytest.mark.parametrize(("option", "value"), [("width", "0.25"), ("norm", "none"), ("attention", "se")])
def test_what_both_must_share(pair: tuple[Path, Path], tmp_path: Path, option: str, value: str) -> None:
    other = saved(tmp_path, "resnet34", **{option: value})
    refused("joint-fusion", (pair[0], other), f"was trained with {option}={value}")


def test_classifiers_must_have_the_labels_of_the_fusion(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    other = saved(tmp_path, "resnet34", labels="basic-7")
    refused("late-fusion", (pair[0], other), "labels neutral, happy.*late-fusion has surprise, fear")
    network = registry.create("early-fusion", {**SMALL, "backbones": "vgg11+resnet34"})
    load_backbones(network, (pair[0], other))
    assert network.labels[0] == "surprise"


def test_a_missing_file(pair: tuple[Path, Path], tmp_path: Path) -> None:
    refused("late-fusion", (pair[0], tmp_path / "none.pt"), "cannot be read")
