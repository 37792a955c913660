"""Checkpoints of every usual form are read, and those that do not fit or are none are refused with the reason."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgefer.errors import CheckpointError  # noqa: E402
from edgefer_export.checkpoint import (  # noqa: E402
    CheckpointMetadata,
    load_trunk,
    load_weights,
    metadata_of,
    read_metadata,
    save_checkpoint,
)
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention  # noqa: E402
from edgefer_export.networks.blocks.bam import BottleneckAttention  # noqa: E402
from edgefer_export.networks.resnet import ResNetTrunk  # noqa: E402
from edgefer_export.networks.vgg import VggDepth, VggTrunk  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}


def network(seed: int = 0, name: str = "viri-visible", **options: str) -> registry.LoadedNetwork:
    torch.manual_seed(seed)
    return registry.create(name, {**SMALL, **options})


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


FORMS = {
    "bare": lambda state: state,
    "under state_dict": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}},
    "under model": lambda state: {"model": state, "args": {"lr": 0.1}},
    "under any single key": lambda state: {"best_net": state, "epoch": 3},
    "two levels down": lambda state: {"checkpoint": {"net": state}},
    "from DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled and parallel": lambda state: {"state_dict": {f"module._orig_mod.{n}": t for n, t in state.items()}},
    "without counters": lambda state: {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_weights_are_found_in_every_usual_form(form: Any, tmp_path: Path) -> None:
    source, target = network(1), network(2)
    torch.save(form(source.module.state_dict()), tmp_path / "weights.pt")
    report = load_weights(target.module, tmp_path / "weights.pt")
    assert same(source.module, target.module)
    assert report.metadata is None
    assert len(report.sha256) == 64


def test_what_is_saved_is_loaded_with_its_description(tmp_path: Path) -> None:
    source = network(1, "viri-fusion", fusion="concat", classes="3")
    path = save_checkpoint(tmp_path / "weights.pt", source.module, metadata_of(source, {"accuracy": 0.81, "seed": 4}))
    metadata = read_metadata(path)
    assert metadata == CheckpointMetadata(
        "viri-fusion", source.options, ("disgust", "fear", "happy"), "lwir", {"accuracy": 0.81, "seed": 4}
    )
    again = registry.create(metadata.network, metadata.options, labels=metadata.labels)
    assert load_weights(again.module, path).metadata == metadata
    assert same(source.module, again.module)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]


def test_saving_is_atomic(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"before")

    class Broken(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, Broken(1, 1), CheckpointMetadata("x", {}, ()))
    assert path.read_bytes() == b"before"


def test_tensors_saved_on_a_gpu_are_read_without_one(tmp_path: Path) -> None:
    source, target = network(1), network(2)
    path = tmp_path / "weights.pt"
    torch.save(source.module.state_dict(), path, _use_new_zipfile_serialization=False)
    # The older format names the device of each storage in plain text: the same file as a GPU would have written.
    data = path.read_bytes()
    assert b"X\x03\x00\x00\x00cpu" in data
    path.write_bytes(data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    load_weights(target.module, path)
    assert same(source.module, target.module)


def test_missing_unexpected_and_misshapen_are_listed(tmp_path: Path) -> None:
    target = network(2)
    before = {name: tensor.clone() for name, tensor in target.module.state_dict().items()}
    state = network(1).module.state_dict()
    for name in [name for name in state if name.startswith("trunk.layer1")]:
        del state[name]
    state["extra.weight"] = torch.zeros(1)
    state["head.3.weight"] = torch.zeros(9, 32)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError) as raised:
        load_weights(target.module, tmp_path / "weights.pt")
    text = str(raised.value)
    assert "20 missing: trunk.layer1.0.conv1.weight" in text
    assert "and 10 more" in text
    assert "1 unexpected: extra.weight" in text
    assert "1 of another shape: head.3.weight (expected (5, 32), found (9, 32))" in text
    assert all(torch.equal(before[name], tensor) for name, tensor in target.module.state_dict().items())


def test_the_network_that_the_file_is_for_is_named(tmp_path: Path) -> None:
    source = network(1, "cbam-early-fusion")
    path = save_checkpoint(tmp_path / "weights.pt", source.module, metadata_of(source))
    with pytest.raises(CheckpointError, match=r"written for cbam-early-fusion with width=0.125"):
        load_weights(network(2).module, path)


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("this must never be printed",))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Harmful()))
    torch.save({"state_dict": Harmful()}, tmp_path / "zip.pt")
    torch.save(network().module, tmp_path / "whole.pt")
    for name in ("weights.pt", "zip.pt", "whole.pt"):
        with pytest.raises(CheckpointError, match="read safely"):
            load_weights(network().module, tmp_path / name)
    assert "never be printed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_metadata(tmp_path / "weights.pt")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network().module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_weights(network().module, path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        load_weights(network().module, tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_metadata(tmp_path)


@pytest.mark.parametrize("content", [3, [1, 2], {}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_a_file_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_weights(network().module, tmp_path / "weights.pt")


def test_several_sets_of_weights_are_refused(tmp_path: Path) -> None:
    state = network().module.state_dict()
    torch.save({"student": state, "teacher": state}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="several sets of weights: student, teacher"):
        load_weights(network().module, tmp_path / "weights.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = network().module.state_dict()
    state["head.1.bias"][0] = float("nan")
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=r"(?s)not finite.*head\.1\.bias"):
        load_weights(network().module, tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor.to(torch.complex64), "complex64"),
        (lambda tensor: (100 * tensor).to(torch.int8), "int8"),
        (lambda tensor: tensor.to_sparse(), "sparse_coo"),
        (lambda tensor: tensor.to("meta"), "without values"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "qint8"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_copying_would_change_are_refused(change: Any, said: str, tmp_path: Path) -> None:
    state = dict(network(1).module.state_dict())
    state["head.3.weight"] = change(state["head.3.weight"])
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=rf"(?s)not ordinary.*head\.3\.weight \(.*{said}"):
        load_weights(network(2).module, tmp_path / "weights.pt")


def test_a_later_version_and_a_damaged_description_are_refused(tmp_path: Path) -> None:
    torch.save({"format": "edgefer-checkpoint", "version": 9}, tmp_path / "later.pt")
    with pytest.raises(CheckpointError, match="version 9, expected 1"):
        read_metadata(tmp_path / "later.pt")
    torch.save({"format": "edgefer-checkpoint", "version": 1, "network": 3}, tmp_path / "damaged.pt")
    with pytest.raises(CheckpointError, match="damaged description"):
        read_metadata(tmp_path / "damaged.pt")


def torchvision_like(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    torch.manual_seed(5)
    state = {**ResNetTrunk(3, 0.125).state_dict(), "fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth", state


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_trunk_starts_from_a_classifier_with_torchvisions_names(channels: int, tmp_path: Path) -> None:
    path, state = torchvision_like(tmp_path)
    trunk = ResNetTrunk(channels, 0.125)
    load_trunk(trunk, path)
    assert torch.equal(trunk.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    kernel, found = state["conv1.weight"], trunk.state_dict()["conv1.weight"]
    if channels == 1:
        grey = torch.rand(1, 1, 8, 8)
        expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), kernel)
        torch.testing.assert_close(nn.functional.conv2d(grey, found), expected, atol=1e-5, rtol=1e-4)
    else:
        assert torch.equal(found[:, :3], kernel)
    if channels == 4:
        torch.testing.assert_close(found[:, 3], kernel.mean(dim=1))


def test_attention_keeps_its_fresh_weights_when_a_trunk_is_loaded(tmp_path: Path) -> None:
    path, state = torchvision_like(tmp_path)
    trunk = ResNetTrunk(4, 0.125, attention=CbamAttention)
    before = trunk.state_dict()["layer1.0.attention.squeeze.weight"].clone()
    load_trunk(trunk, path)
    assert torch.equal(trunk.state_dict()["layer1.0.attention.squeeze.weight"], before)
    assert torch.equal(trunk.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])


@pytest.mark.parametrize(("depth", "attention"), [(11, None), (13, BottleneckAttention)])
def test_a_vgg_starts_from_torchvisions_too(depth: VggDepth, attention: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = {**VggTrunk(3, 0.125, depth=depth).state_dict(), "classifier.0.weight": torch.zeros(8, 8)}
    torch.save(state, tmp_path / "vgg.pth")
    trunk = VggTrunk(1, 0.125, after=attention, depth=depth)
    report = load_trunk(trunk, tmp_path / "vgg.pth")
    assert report.tensors == 2 * (depth - 3)
    assert torch.equal(trunk.features[-3].weight, state[f"features.{len(trunk.features) - 3}.weight"])
    grey = torch.rand(1, 1, 8, 8)
    expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), state["features.0.weight"])
    torch.testing.assert_close(nn.functional.conv2d(grey, trunk.features[0].weight), expected, atol=1e-5, rtol=1e-4)


def test_a_resnet_between_whose_stages_attention_stands_starts_from_a_plain_one(tmp_path: Path) -> None:
    path, state = torchvision_like(tmp_path)
    trunk = ResNetTrunk(3, 0.125, between=BottleneckAttention)
    load_trunk(trunk, path)
    assert torch.equal(trunk.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_a_trunk_of_another_depth_is_refused(tmp_path: Path) -> None:
    path, state = torchvision_like(tmp_path)
    state["layer3.2.conv1.weight"] = torch.zeros(1)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"(?s)does not fit the trunk.*ResNet or VGG"):
        load_trunk(ResNetTrunk(3, 0.125), path)
