"""Checkpoints of FERAtt's public code, which hold what it never uses and some weights twice, are taken as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edgefer.errors import CheckpointError  # noqa: E402
from edgefer_export.checkpoint import load_weights  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.registry import LoadedNetwork  # noqa: E402

State = dict[str, torch.Tensor]

STAGES = {"conv1.": "conv1.0.", "bn1.": "conv1.1.", "layer1.": "conv2.", "layer2.": "conv3.", "layer3.": "conv4."}
STAGES["layer4."] = "conv5."


def made(name: str, seed: int = 0, **options: str) -> LoadedNetwork:
    torch.manual_seed(seed)
    return registry.create(name, {"width": "0.125", "size": "64", **options})


def published(name: str, state: State) -> State:
    """The same weights under the names that a module built as the public code is gives them."""
    last = name == "feratt"
    around = "attention_map." if last else ""
    decoder = {"first.0": "cr1.conv", "second.0": "cr2.conv"}
    if not last:
        decoder = {"first.0": "block.0.conv", "second.0": "block.1"}
    theirs: State = {}
    for key, tensor in state.items():
        if key.startswith("attention.encoder."):
            inner = key.removeprefix("attention.encoder.")
            theirs[f"{around}encoder.{inner}"] = tensor
            again = next(stage for ours, stage in STAGES.items() if inner.startswith(ours))
            theirs[f"{around}{again}{inner[inner.index('.') + 1 :]}"] = tensor
            continue
        if found := re.fullmatch(r"attention\.up(\d)\.(first\.0|second\.0)\.(\w+)", key):
            theirs[f"{around}dec{found[1]}.{decoder[found[2]]}.{found[3]}"] = tensor
        elif found := re.fullmatch(r"attention\.centre\.up\.(first\.0|second\.0)\.(\w+)", key):
            theirs[f"{around}center.{decoder[found[1]]}.{found[2]}"] = tensor
        elif found := re.fullmatch(r"attention\.centre\.convolutions\.(\d)\.(\w+)", key):
            theirs[f"center.conv_d{int(found[1]) + 1}.{found[2]}"] = tensor
        elif found := re.fullmatch(r"features\.blocks\.(\d+)\.(first|second)\.(\w+)", key):
            theirs[f"feature.{found[1]}.conv{'12'[found[2] == 'second']}.{found[3]}"] = tensor
        else:
            for ours, other in (
                ("attention.head.0.0.", f"{around}attention_map.0.conv."),
                ("attention.head.1.", f"{around}attention_map.1."),
                ("features.first.", "conv_input."),
                ("features.last.", "conv_mid."),
                ("reconstruction.0.0.", "reconstruction.0.conv."),
                ("reconstruction.2.", "conv2_bn."),
                ("embed.", "netclass.linear."),
                ("classify.", "netclass.classification." if "embed.weight" in state else "netclass.linear."),
                ("representation.", "netclass."),
            ):
                if key.startswith(ours):
                    key = other + key.removeprefix(ours)
                    break
            theirs[key.replace(".shortcut.weight", ".shortcut.0.weight")] = tensor
    theirs[f"{around}encoder.fc.weight"], theirs[f"{around}encoder.fc.bias"] = torch.ones(1000, 512), torch.ones(1000)
    return theirs


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["feratt", "feratt-paper"])
@pytest.mark.parametrize("head", ["gaussian", "plain"])
def test_checkpoints_of_the_public_code_are_loaded(name: str, head: str, tmp_path: Path) -> None:
    source, target = made(name, 1, head=head), made(name, 2, head=head)
    state = published(name, dict(source.module.state_dict()))
    assert not state.keys() & {key for key in source.module.state_dict() if not key.startswith("reconstruction.1")}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "public.pth.tar")
    report = load_weights(target.module, tmp_path / "public.pth.tar")
    assert same(source.module.state_dict(), target.module.state_dict())
    assert len(report.notes) == 2
    assert "public code" in report.notes[0]
    assert "513,000 parameters" in report.notes[1]


def test_the_unused_classifier_is_dropped_under_our_names_too(tmp_path: Path) -> None:
    source, target = made("feratt", 1), made("feratt", 2)
    state = dict(source.module.state_dict())
    state |= {"attention.encoder.fc.weight": torch.ones(1000, 512), "attention.encoder.fc.bias": torch.ones(1000)}
    torch.save(state, tmp_path / "with.pt")
    report = load_weights(target.module, tmp_path / "with.pt")
    assert same(source.module.state_dict(), target.module.state_dict())
    assert [note for note in report.notes if "513,000" in note] == list(report.notes)


def test_a_checkpoint_without_it_says_nothing(tmp_path: Path) -> None:
    source, target = made("feratt", 1), made("feratt", 2)
    torch.save(source.module.state_dict(), tmp_path / "own.pt")
    assert load_weights(target.module, tmp_path / "own.pt").notes == ()
    assert same(source.module.state_dict(), target.module.state_dict())


def test_the_other_form_s_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(published("feratt-paper", dict(made("feratt-paper").module.state_dict())), tmp_path / "paper.pt")
    with pytest.raises(CheckpointError, match="does not fit the network") as caught:
        load_weights(made("feratt").module, tmp_path / "paper.pt")
    assert "attention.centre" in caught.value.details
