"""Starting a fusion of two cameras from networks of one each, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer.errors import CheckpointError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.checkpoint import metadata_of, save_checkpoint  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.loaded import LoadedNetwork  # noqa: E402
from edgefer_export.train import TrainSpec  # noqa: E402
from edgefer_export.train.setup import prepare  # noqa: E402
from edgefer_export.train.towers import load_towers  # noqa: E402

SMALL = {"width": "0.125", "size": "32"}
ROLES = ("visible", "infrared")


def saved(folder: Path, role: str, **options: str) -> Path:
    """A checkpoint of a network of one camera with weights of its own."""
    network = registry.create(f"viri-{role}", {**SMALL, **options})
    return save_checkpoint(folder / f"{role}.pt", network.module, metadata_of(network))


def fusion(**options: str) -> LoadedNetwork:
    return registry.create("viri-fusion", {**SMALL, **options})


def taken(network: LoadedNetwork, paths: tuple[Path, Path]) -> dict[str, bool]:
    """Whether trunk and gate of each role are those of the checkpoints."""
    state = network.module.state_dict()
    found = {}
    for role, path in zip(ROLES, paths, strict=True):
        tower = torch.load(path, weights_only=True)["state_dict"]
        for name, tensor in tower.items():
            if name.startswith("trunk."):
                assert torch.equal(state[f"{role}.{name.removeprefix('trunk.')}"], tensor)
        gate = f"fusion.{role}.weight"
        found[role] = gate in state and "gate.linear.weight" in tower
        found[role] = found[role] and torch.equal(state[gate], tower["gate.linear.weight"])
    return found


@pytest.mark.parametrize(
    ("gates", "loaded", "said"),
    [
        (("linear", "square", "square"), (False, True), ["visible tower (gate=linear)"]),
        (("square", "square", "square"), (True, True), []),
        (("linear", "square", "linear"), (True, False), ["infrared tower (gate=square)"]),
        (("none", "none", "none"), (False, False), []),
        (("none", "square", "square"), (False, True), ["visible tower (gate=none)"]),
        (("linear", "square", "none"), (False, False), ["visible tower (gate=linear)", "infrared tower (gate=square)"]),
    ],
)
def test_gates_are_taken_where_they_look_at_the_same(
    tmp_path: Path, gates: tuple[str, str, str], loaded: tuple[bool, bool], said: list[str]
) -> None:
    paths = (saved(tmp_path, "visible", gate=gates[0]), saved(tmp_path, "infrared", gate=gates[1]))
    network = fusion(gate=gates[2])
    notes = load_towers(network, paths)
    assert taken(network, paths) == dict(zip(ROLES, loaded, strict=True))
    assert len(notes) == len(said)
    for note, part in zip(notes, said, strict=True):
        assert part in note
        assert ("begins with fresh weights" in note) == (gates[2] != "none")


def test_a_training_says_which_gate_begins_anew(spec: Callable[..., TrainSpec], tmp_path: Path) -> None:
    paths = (saved(tmp_path, "visible"), saved(tmp_path, "infrared"))
    reporter = Silent()
    prepare(spec(network="viri-fusion", towers=paths), reporter)
    assert [note for note in reporter.notes if "The gate of the visible tower (gate=linear) is left out" in note]


@pytest.mark.parametrize(
    ("role", "option", "value"),
    [
        ("visible", "width", "0.25"),
        ("visible", "norm", "imagenet"),
        ("infrared", "norm", "imagenet"),
        ("infrared", "attention", "se"),
        ("infrared", "infrared_channels", "1"),
    ],
)
def test_what_towers_and_fusion_must_share(tmp_path: Path, role: str, option: str, value: str) -> None:
    paths = {each: saved(tmp_path, each) for each in ROLES}
    paths[role] = saved(tmp_path, role, **{option: value})
    network = fusion()
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=f"the {role} tower .* was trained with {option}={value}, viri-fusion has"
    ):
        load_towers(network, (paths["visible"], paths["infrared"]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.module.state_dict().items())


def test_a_width_that_is_written_otherwise(tmp_path: Path) -> None:
    paths = (saved(tmp_path, "visible", width="0.1250"), saved(tmp_path, "infrared"))
    load_towers(fusion(), paths)


def test_weights_without_a_description_are_no_tower(tmp_path: Path) -> None:
    visible, infrared = saved(tmp_path, "visible"), saved(tmp_path, "infrared")
    torch.save(torch.load(visible, weights_only=True)["state_dict"], visible)
    with pytest.raises(CheckpointError, match="holds weights without a description; the visible tower"):
        load_towers(fusion(), (visible, infrared))
