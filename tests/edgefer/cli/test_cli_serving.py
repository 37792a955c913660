"""`edgefer triton` and `edgefer deepstream`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("onnx")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_triton_writes_a_repository(run_cli: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    words = ("triton", str(tiny_bundle), "-o", str(tmp_path / "models"), "--name", "net", "--json")
    done = run_cli(*words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["models"] == ["net_network", "net_prepare", "net_answer", "net"]
    assert (tmp_path / "models" / "net" / "config.pbtxt").is_file()
    assert "requirements.txt" in done.stderr
    again = run_cli(*words)
    assert again.returncode == 2
    assert json.loads(again.stdout)["error"]["type"] == "UsageError"
    assert run_cli(*words, "--force").returncode == 0


def test_triton_says_where_requests_go(run_cli: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    done = run_cli("triton", str(tiny_bundle), "-o", str(tmp_path / "models"), "--uint16", "infrared", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["requests", "go", "to", "tiny"]
    assert "TYPE_UINT16" in (tmp_path / "models" / "tiny_prepare" / "config.pbtxt").read_text()


def test_deepstream_refuses_a_fused_network(run_cli: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    done = run_cli("deepstream", str(tiny_bundle), "-o", str(tmp_path / "folder"))
    assert done.returncode == 1
    assert "one image" in done.stderr
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("verb", ["triton", "deepstream"])
def test_the_package_that_is_missing_is_named(verb: str, run_cli: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    done = run_cli(verb, str(tiny_bundle), "-o", str(tmp_path / "out"), blocked=("onnx",))
    assert done.returncode == 3
    assert "edgefer[device]" in done.stderr


@pytest.mark.parametrize(
    "words", [("triton", "b"), ("triton", "b", "-o", "o", "--uint16", "lwir"), ("deepstream", "b")]
)
def test_usage_errors(words: tuple[str, ...], run_cli: Run) -> None:
    assert run_cli(*words).returncode == 2
