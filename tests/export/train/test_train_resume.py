"""Going on after an interrupt: the same weights to the bit, and no going on with anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("cv2")

from edgefer.errors import CheckpointError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export.train import TrainSpec, train  # noqa: E402
from edgefer_export.train.loop import Trainer  # noqa: E402
from edgefer_export.train.state import identity, state_path  # noqa: E402

Make = Callable[..., TrainSpec]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainSpec, int], None]:
    """Trains until Ctrl-C in front of that step."""

    def run(spec: TrainSpec, step: int) -> None:
        original, calls = Trainer.step, []

        def until(self: Trainer, *arguments: Any) -> dict[str, float]:
            calls.append(1)
            if len(calls) > step:
                raise KeyboardInterrupt
            return original(self, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "step", until)
            with pytest.raises(KeyboardInterrupt):
                train(spec)

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser": "adam:amsgrad", "schedule": "plateau:0:0.5", "learning_rate": 1e-3, "sampler": "class-cyclic"},
        {
            "network": "viri-fusion",
            "options": {"width": "0.125", "size": "32", "present": "true", "placeholder": "learned"},
            "modality_dropout": 0.3,
            "optimiser": "sgd:0.9:nesterov",
            "schedule": "cosine-as-run:3",
            "learning_rate": 0.01,
            "rotation": 10.0,
            "erasing": 0.2,
        },
    ],
    ids=["default", "adam", "fusion"],
)
def test_a_resumed_training_gives_the_same_weights(
    spec: Make,
    squares: type,
    tmp_path: Path,
    interrupted: Callable[[TrainSpec, int], None],
    changes: dict[str, Any],
) -> None:
    small = {"data": squares(44), "epochs": 3, **changes}
    whole = spec(output=tmp_path / "whole.pt", **small)
    expected = train(whole)
    parts = spec(output=tmp_path / "parts.pt", resume=True, **small)
    interrupted(parts, 3)  # in the second epoch
    interrupted(parts, 3)  # and once more, in the third
    result = train(parts)
    assert whole.output.read_bytes() == parts.output.read_bytes()
    assert [replace(figure, seconds=0) for figure in result.history] == [
        replace(figure, seconds=0) for figure in expected.history
    ]
    assert (result.best_epoch, result.correct, result.steps) == (expected.best_epoch, expected.correct, expected.steps)


def test_a_finished_training_is_not_done_again(spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = spec(resume=True, epochs=2)
    first = train(asked)
    monkeypatch.setattr(Trainer, "step", lambda *arguments: pytest.fail("trained again"))
    again = train(asked)
    assert (again.correct, again.steps, again.stopped) == (first.correct, first.steps, "finished")


def test_without_resume_there_is_no_state(spec: Make) -> None:
    asked = spec(epochs=1)
    train(asked)
    assert list(asked.output.parent.iterdir()) == [asked.output]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.1}, "learning_rate was 0.004, is 0.1"),
        ({"schedule": "constant"}, "schedule was one-cycle, is constant"),
        ({"seed": 3}, "seed was 0, is 3"),
        ({"epochs": 9}, "epochs was 1, is 9"),
        ({"network": "viri-infrared"}, "network was viri-visible, is viri-infrared"),
        ({"options": {"width": "0.125", "size": "32", "gate": "square"}}, "options was"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_training_is_refused(spec: Make, changes: dict[str, Any], named: str) -> None:
    train(spec(resume=True, epochs=1))
    before = spec().output.read_bytes()
    with pytest.raises(CheckpointError, match="state of another training") as caught:
        train(spec(**{"resume": True, "epochs": 1, **changes}))
    assert named in str(caught.value)
    assert "begin anew" in caught.value.hint
    assert spec().output.read_bytes() == before


def test_other_data_is_refused(spec: Make, squares: type) -> None:
    train(spec(resume=True, epochs=1))
    with pytest.raises(CheckpointError, match="state of another training: data was"):
        train(spec(resume=True, epochs=1, data=squares(64, seed=1)))


def test_another_file_to_start_from_is_refused(spec: Make, tmp_path: Path) -> None:
    first = train(spec(output=tmp_path / "first.pt", epochs=1)).path
    asked = spec(resume=True, epochs=1, weights=first)
    train(asked)
    moved = first.rename(tmp_path / "moved.pt")
    train(replace(asked, weights=moved))
    train(spec(output=moved, epochs=1, seed=1))
    with pytest.raises(CheckpointError, match=r"state of another training: weights was [0-9a-f]{64}, is [0-9a-f]{64}"):
        train(replace(asked, weights=moved))
    with pytest.raises(CheckpointError, match=r"state of another training: weights was [0-9a-f]{64}, is None"):
        train(replace(asked, weights=None))


def test_each_of_several_files_counts(spec: Make, tmp_path: Path) -> None:
    files = tmp_path / "one", tmp_path / "two"
    for file in files:
        file.write_text(file.name)
    told = identity(spec(backbones=files), {})["backbones"]
    assert told == " and ".join(hashlib.sha256(name).hexdigest() for name in (b"one", b"two"))
    assert identity(spec(backbones=files[::-1]), {})["backbones"] != told
    with pytest.raises(CheckpointError, match="three cannot be read: No such file"):
        identity(spec(trunk=tmp_path / "three"), {})


def test_what_decides_nothing_may_change(spec: Make, tmp_path: Path) -> None:
    train(spec(resume=True, epochs=1))
    train(spec(resume=True, epochs=1, log=tmp_path / "log.csv", minutes=5.0))


def test_a_checkpoint_that_is_gone_is_missed(spec: Make) -> None:
    asked = spec(resume=True, epochs=1)
    train(asked)
    asked.output.unlink()
    with pytest.raises(CheckpointError, match="missing or another's"):
        train(asked)


@pytest.mark.parametrize("content", [b"", b"not a state", None], ids=["empty", "text", "a checkpoint"])
def test_a_file_that_is_no_state(spec: Make, content: bytes | None) -> None:
    asked = spec(resume=True, epochs=1)
    train(spec(epochs=1))
    state_path(asked.output).write_bytes(asked.output.read_bytes() if content is None else content)
    with pytest.raises(CheckpointError, match=r"not (a|the) state") as caught:
        train(asked)
    assert "begin anew" in caught.value.hint


def test_a_state_that_would_run_code_is_refused(spec: Make) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (print, ("ran",))

    asked = spec(resume=True, epochs=1)
    torch.save({"format": "edgefer-training", "version": 1, "weights": Harmful()}, state_path(asked.output))
    with pytest.raises(CheckpointError, match="not a state that can be read"):
        train(asked)


def test_an_interrupt_says_how_to_go_on(spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    train(spec(resume=True, epochs=1))
    state_path(spec().output).unlink()
    reporter = Silent()
    monkeypatch.setattr(Trainer, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(spec(resume=True, epochs=1), reporter)
    assert any("Nothing was written" in note for note in reporter.notes)
