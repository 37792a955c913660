"""The page "Bring your own network": its files are written, its commands run, its code executed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

PAGE = Path(__file__).parents[2] / "docs" / "your-own-network.md"
LABELS = ("happy", "neutral", "surprise")
SIDE = 32


@dataclass(frozen=True)
class Block:
    """A fenced block: its section, its language, the file that the text before it names, and what is in it."""

    section: str
    language: str
    file: str | None
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The `edgefer` commands of a block of shell."""
        return [shlex.split(line) for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def blocks() -> list[Block]:
    """All fenced blocks of the page, in order."""
    found = []
    section = ""
    for part in re.split(r"^(## .*)$", PAGE.read_text(), flags=re.MULTILINE):
        if part.startswith("## "):
            section = part.removeprefix("## ").strip()
            continue
        for match in re.finditer(r"^([^\n]*)\n+```(\w*)\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL):
            named = re.findall(r"`(\w+\.py)`", match[1])
            found.append(Block(section, match[2], named[0] if named and match[2] == "python" else None, match[3]))
    return found


def _pictures(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BGR and grey pictures, and classes: noise, with more of one colour and brighter at one place by class."""
    classes = np.arange(count) % len(LABELS)
    colour = rng.integers(60, 140, (count, SIDE, SIDE, 3))
    grey = rng.integers(0, 20000, (count, SIDE, SIDE))
    for index, label in enumerate(classes):
        colour[index, ..., label] += 80
        grey[index, 10 * label : 10 * label + 12] += 40000
    return colour.astype(np.uint8), grey.astype(np.uint16), classes


def _written(folder: Path, pictures: np.ndarray, classes: np.ndarray) -> None:
    numbers = dict.fromkeys(LABELS, 0)
    for picture, index in zip(pictures, classes, strict=True):
        label = LABELS[index]
        (folder / label).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / label / f"{numbers[label]:03d}.png"), picture)
        numbers[label] += 1


def _trained(module: Any, inputs: dict[str, Any], classes: Any) -> dict[str, Any]:
    module.train()
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(40):
        answer = module(**inputs)
        logits = answer["logits"] if isinstance(answer, dict) else answer
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, classes).backward()
        optimiser.step()
    return dict(module.state_dict())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page takes for granted: its files, pictures of three classes, and checkpoints."""
    root = tmp_path_factory.mktemp("own")
    for block in blocks():
        if block.file is not None:
            (root / block.file).write_text(block.text)
    rng = np.random.default_rng(3)
    for name, count in (("calibration", 12), ("test", 60)):
        colour, grey, classes = _pictures(count, rng)
        _written(root / "photos" / name, colour, classes)
        _written(root / "pairs" / name / "visible", colour, classes)
        _written(root / "pairs" / name / "infrared", grey, classes)
    colour, grey, classes = _pictures(90, rng)
    rgb = torch.from_numpy(colour[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    thermal = torch.from_numpy(grey.astype(np.float32))[:, None] / 65535
    for file, inputs in (("mine", {"image": rgb}), ("pair", {"rgb": rgb, "thermal": thermal})):
        torch.manual_seed(0)
        space: dict[str, Any] = {"__name__": file}
        exec((root / f"{file}.py").read_text(), space)
        torch.save(_trained(space["make"](), inputs, torch.from_numpy(classes)), root / f"{file}.pt")
    return root


def of(section: str, language: str) -> list[Block]:
    """The blocks of a section that are no files."""
    found = [each for each in blocks() if (each.section, each.language, each.file) == (section, language, None)]
    assert found, f"the page has no {language or 'shell'} block in {section}"
    return found


def _run(section: str, folder: Path, edgefer: Callable[..., Any]) -> list[Any]:
    answers = []
    for command in (command for block in of(section, "") for command in block.commands):
        assert command[0] == "edgefer"
        answer = edgefer(*command[1:], cwd=folder)
        assert answer.code == 0, f"{shlex.join(command)}\n{answer.stderr}"
        answers.append(answer)
    return answers


def _python(block: Block, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_block_of_the_page_is_used() -> None:
    files = [block.file for block in blocks() if block.file is not None]
    assert files == ["mine.py", "pair.py"]
    used = {("One camera", ""), ("Two cameras", ""), ("Two cameras", "python")}
    used |= {("An ONNX file", ""), ("An ONNX file", "python")}
    used |= {("What your network expects", ""), ("What your network expects", "toml")}
    assert {(block.section, block.language) for block in blocks() if block.file is None} == used


def test_one_camera(folder: Path, edgefer: Callable[..., Any]) -> None:
    built, evaluated, inferred, half = _run("One camera", folder, edgefer)
    assert built.value["verdict"] in ("pass", "undecided")
    assert [step["figure"]["step"] for step in built.value["report"]["steps"]][-1] == "int8"
    assert "exported by " in built.stderr + str(built.value["report"])
    assert evaluated.value["correct"] >= 58
    assert inferred.value["label"] == "happy"
    assert half.value["report"]["steps"][-1]["figure"]["step"] == "fp16"
    assert (folder / "mine-half.edgefer").is_file()


def test_two_cameras(folder: Path, edgefer: Callable[..., Any]) -> None:
    (built,) = _run("Two cameras", folder, edgefer)
    assert built.value["verdict"] in ("pass", "undecided")
    assert "exported by dynamo alone; torchscript: UnsupportedOperatorError" in str(built.value["report"])
    (block,) = of("Two cameras", "python")
    assert _python(block, folder).startswith("happy ")


def test_an_onnx_file(folder: Path, edgefer: Callable[..., Any]) -> None:
    (block,) = of("An ONNX file", "python")
    _python(block, folder)
    built, evaluated = _run("An ONNX file", folder, edgefer)
    assert built.value["verdict"] in ("pass", "undecided")
    assert evaluated.value["correct"] >= 58


def test_what_your_network_expects(folder: Path, edgefer: Callable[..., Any]) -> None:
    built, inspected = _run("What your network expects", folder, edgefer)
    assert built.value["verdict"] in ("pass", "undecided")
    image = inspected.value["manifest"]["graphs"][0]["inputs"][0]["image"]
    assert (image["fit"], image["pad"]) == ("letterbox", [114])
    (block,) = of("What your network expects", "toml")
    (folder / "expects.toml").write_text(block.text)
    command = ["mine.py:make", "--input", "image=3x32x32", "--weights", "mine.pt", "--evaluation", "photos/test"]
    precision = ["--precision", "fp32", "--allow-over-budget", "-o", "expects.edgefer", "--flavour", "none"]
    assert edgefer("build-engine", *command, *precision, "--spec", "expects.toml", cwd=folder).code in (0, 4)
    shown = edgefer("inspect", "expects.edgefer", cwd=folder).value
    image = shown["manifest"]["graphs"][0]["inputs"][0]["image"]
    assert (image["std"], image["keep"], image["resize"]) == ([0.229, 0.224, 0.225], 0.875, "bilinear")


def test_the_table_of_keys_is_whole() -> None:
    from edgefer_export.preprocess_fields import KEYS, PRESETS, preprocess

    section = PAGE.read_text().partition("## What your network expects")[2].partition("\n## ")[0]
    keys = re.findall(r"^\| ((?:`[a-z0-9-]+`(?:, )?)+) \|", section.partition("| preset |")[0], flags=re.MULTILINE)
    assert {key.replace("-", "_") for row in keys for key in re.findall(r"`([^`]+)`", row)} == set(KEYS)
    presets = re.findall(r"^\| `([a-z-]+)`[^|]*\|", section.partition("| preset |")[2], flags=re.MULTILINE)
    assert set(presets) == set(PRESETS)
    for case in re.findall(r"\| `([^`|]+)` \|$", section, flags=re.MULTILINE):
        assert preprocess("preprocess", case.split())


def test_the_errors_of_the_page_are_those_of_the_program() -> None:
    section = PAGE.read_text().partition("## When it does not work")[2]
    said = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
    assert len(said) >= 6
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "export" / "edgefer_export").rglob("*.py"))
    for text in said:
        for part in text.replace("body.0.weight", "…").split("…"):
            assert part.strip() in source, f"no error says {part.strip()!r}"
