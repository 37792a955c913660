"""`edgefer check` on a bundle, on ONNX files and on what is neither."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.cli.main import main

onnx = pytest.importorskip("onnx")

Capture = pytest.CaptureFixture[str]
ALL = ["tensorrt-10.3", "tensorrt-10.13", "tensorrt-10.16", "tensorrt-11", "rtx"]


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """`model(operator, **attributes)`: a file with one node."""

    def make(operator: str, **attributes: Any) -> Path:
        made = onnx.helper.make_node(operator, ["x"], ["y"], name="the_node", **attributes)
        tensor = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
        graph = onnx.helper.make_graph([made], "g", [tensor], [onnx.helper.make_empty_tensor_value_info("y")])
        opsets = [onnx.helper.make_opsetid("", 19)]
        path: Path = tmp_path / "net.onnx"
        path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
        return path

    return make


def test_a_bundle_is_held_against_all_targets(tiny_bundle: Path, capsys: Capture) -> None:
    assert main(["check", str(tiny_bundle), "--no-ask-parser", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdicts"] == dict.fromkeys(ALL, "accepted")
    assert [each["graph"] for each in said["reports"]] == ["fused"] * len(ALL)
    assert said["reports"][0]["report"]["operators"]["ReduceMean"] == 2


def test_a_refusal_names_node_operator_source_and_remedy(model: Callable[..., Path], capsys: Capture) -> None:
    path = model("Det")
    assert main(["check", str(path), "--target", "tensorrt-10.3", "tensorrt-11", "--no-ask-parser", "--quiet"]) == 1
    shown = capsys.readouterr().out
    assert "refused: the_node (Det): Det is not supported" in shown
    assert "source: onnx-tensorrt docs/operators.md, release 10.1" in shown
    assert "build it from other operators" in shown
    assert "rtx" not in shown
    assert "note: The operator table of 10.3 itself was not at hand" in shown


def test_what_is_open_is_not_refused(model: Callable[..., Path], capsys: Capture) -> None:
    assert main(["check", str(model("EfficientNMS_TRT")), "--target", "tensorrt-10.3", "--no-ask-parser"]) == 0
    assert "unknown" in capsys.readouterr().out


def test_the_worst_verdict_of_a_target_counts(model: Callable[..., Path], capsys: Capture) -> None:
    words = ["check", str(model("HannWindow")), "--no-ask-parser", "--json", "--target"]
    assert main([*words, "tensorrt-10.3", "--target", "tensorrt-10.3"]) == 1
    assert json.loads(capsys.readouterr().out)["verdicts"] == {"tensorrt-10.3": "refused"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "the file is empty"), (b"<html>404</html>", "a web page"), (b"PK\x03\x04 not whole", "bundle")],
)
def test_other_files(content: bytes, said: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert main(["check", str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "error:" in shown.err
    assert said in shown.err or "zip" in shown.err


def test_an_unknown_target_is_a_usage_error(model: Callable[..., Path], capsys: Capture) -> None:
    assert main(["check", str(model("Relu")), "--target", "tensorrt-8.6", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "UsageError"
    assert "tensorrt-10.3" in error["hint"]


def test_without_onnx_it_says_what_to_install(
    tiny_bundle: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("check", str(tiny_bundle), "--json", blocked=("onnx",))
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert "onnx" in error["message"]
    assert "pip install" in error["hint"]
