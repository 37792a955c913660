"""The flags that say something of an ONNX file, as text and as TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgefer.errors import UsageError
from edgefer_export.spec import BuildSpec
from edgefer_export.spec_fields import convert


def test_inputs_have_sizes_and_roles() -> None:
    found = convert({"input": ["a=3x8x8:visible", "b=10", "c=1x2x3x4x5:other", "d=1x8x8"]})
    assert found["inputs"] == {"a": (3, 8, 8), "b": (10,), "c": (1, 2, 3, 4, 5), "d": (1, 8, 8)}
    assert found["input_roles"] == {"a": "visible", "c": "other"}
    assert convert({"input": {"a": [3, 8, 8], "b": "1x8x8:infrared"}})["input_roles"] == {"b": "infrared"}
    assert convert({"input": ["Input:0=3x8x8"]})["inputs"] == {"Input:0": (3, 8, 8)}


@pytest.mark.parametrize(
    ("value", "path", "roles"),
    [
        ("out.edgefer", "out.edgefer", None),
        (["out.edgefer", "scores:logits"], "out.edgefer", {"scores": "logits"}),
        (["scores:logits", "boxes:other", "out.edgefer"], "out.edgefer", {"scores": "logits", "boxes": "other"}),
        (["Output:0:logits", "o.edgefer"], "o.edgefer", {"Output:0": "logits"}),
        ("folder/with:colon/out.edgefer", "folder/with:colon/out.edgefer", None),
        ("name:logits.edgefer", "name:logits.edgefer", None),
        ("out.bundle", "out.bundle", None),
        (Path("out.edgefer"), "out.edgefer", None),
    ],
)
def test_output_is_a_path_or_a_role(value: Any, path: str, roles: dict[str, str] | None) -> None:
    found = convert({"output": value})
    assert found["output"] == Path(path)
    assert found.get("output_roles") == roles


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"output": ["a.edgefer", "b.edgefer"]}, "names 2 files"),
        ({"output": ["a.edgefer", "scores:probabilities"]}, "NAME:ROLE with logits or other"),
        ({"output": ["a.edgefer", "s:logits", "s:other"]}, "a role to `s` twice"),
        ({"input": ["a=3x8x8:depth"]}, "a role out of visible, infrared, present, saliency, other"),
        ({"input": ["a=3x8y8"]}, "such as 3x224x224"),
    ],
)
def test_what_is_neither_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        convert(fields)
    assert said in raised.value.message


def test_roles_of_outputs_belong_to_files() -> None:
    with pytest.raises(UsageError, match="is for ONNX files"):
        BuildSpec(network="viri-fusion", output=Path("x.edgefer"), output_roles={"scores": "logits"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"happy\n\nsad\n", "Line 2 of"),
        (b"happy\nsad\nhappy\n", "repeats the label `happy`"),
        (b"happy\n", "has 1 labels"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_label_files_that_cannot_be(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        convert({"labels": str(tmp_path / "labels.txt")})
    assert said in raised.value.message


def test_labels_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufeffheureux\r\ntriste, très\r\n\r\n".encode())
    assert convert({"labels": str(tmp_path / "labels.txt")})["labels"] == ("heureux", "triste, très")
    with pytest.raises(UsageError, match="or a file with one a line"):
        convert({"labels": str(tmp_path / "gone.txt")})
