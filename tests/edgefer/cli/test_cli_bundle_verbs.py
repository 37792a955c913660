"""inspect, verify, infer and evaluate on a small bundle."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.cli.main import main

pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    """A bright visible and a bright 16-bit infrared image."""
    visible, infrared = tmp_path / "visible.png", tmp_path / "infrared.png"
    cv2.imwrite(str(visible), np.full((30, 20, 3), 230, np.uint8))
    cv2.imwrite(str(infrared), np.full((15, 15), 60_000, np.uint16))
    return str(visible), str(infrared)


def answer(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_inspect_gives_the_whole_manifest(tiny_bundle: Path, capsys: Capture) -> None:
    from edgefer.bundle.container import Bundle

    said = answer(capsys, "inspect", str(tiny_bundle))
    assert said["digest"] == Bundle.read(tiny_bundle).digest
    assert said["manifest"]["labels"] == ["dark", "bright"]
    assert said["manifest"]["graphs"][0]["inputs"][1]["image"]["band"] == "lwir"
    assert "graphs/fused.onnx" in said["manifest"]["members"]


def test_inspect_in_words(tiny_bundle: Path, capsys: Capture) -> None:
    assert main(["inspect", str(tiny_bundle)]) == 0
    shown = capsys.readouterr().out
    for part in ("tiny (size=8)", "dark, bright", "1x3x8x8", "lwir", "verdict: pass", "181/200", "90.50 %"):
        assert part in shown


def test_infer_names_the_expression(tiny_bundle: Path, images: tuple[str, str], capsys: Capture) -> None:
    said = answer(capsys, "infer", str(tiny_bundle), "--visible", images[0], "--infrared", images[1])
    assert said["label"] == "bright"
    assert said["labels"] == ["dark", "bright"]
    assert said["confidence"] == pytest.approx(max(said["probabilities"]))
    assert sum(said["probabilities"]) == pytest.approx(1.0, abs=1e-6)
    # logit = 4 (mean visible + mean infrared) - 4, as the graph says
    assert said["logits"][1] == pytest.approx(4 * (230 / 255 + 60_000 / 65_535) - 4, abs=1e-3)
    assert said["modalities"] == ["visible", "infrared"]
    assert said["verdict"] == "pass"


def test_infer_in_words(tiny_bundle: Path, images: tuple[str, str], capsys: Capture) -> None:
    assert main(["infer", str(tiny_bundle), "--visible", images[0], "--infrared", images[1], "--threads", "1"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("bright  99.")
    assert shown.out.splitlines()[2].split()[0] == "dark"
    assert shown.err.startswith("runs on o")
    assert "no tensorrt: no CUDA driver" in shown.err
    assert main(["infer", str(tiny_bundle), "--visible", images[0], "--infrared", images[1], "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_an_undecided_bundle_says_so_beside_its_answer(
    undecided_bundle: Path, images: tuple[str, str], capsys: Capture
) -> None:
    words = ["infer", str(undecided_bundle), "--visible", images[0], "--infrared", images[1]]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "undecided" in shown.err
    assert "undecided" not in shown.out
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_infer_without_an_image_is_a_usage_error(tiny_bundle: Path, capsys: Capture) -> None:
    assert answer(capsys, "infer", str(tiny_bundle), code=2)["error"]["type"] == "UsageError"


def test_infer_without_the_other_image_names_it(tiny_bundle: Path, images: tuple[str, str], capsys: Capture) -> None:
    error = answer(capsys, "infer", str(tiny_bundle), "--visible", images[0], code=1)["error"]
    assert error["type"] == "InputError"
    assert "infrared" in error["message"]


@pytest.mark.parametrize("content", [None, b"", b"<html>not an image</html>", b"\x89PNG\r\n\x1a\nhalf"])
def test_a_bad_image_is_named_with_its_flag(
    content: bytes | None, tiny_bundle: Path, images: tuple[str, str], tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    error = answer(capsys, "infer", str(tiny_bundle), "--visible", images[0], "--infrared", str(bad), code=1)["error"]
    assert error["type"] == "InputError"
    assert error["message"].startswith("--infrared: ")
    assert str(bad) in error["message"]


@pytest.mark.parametrize("verb", [["inspect"], ["infer", "--visible", "IMAGE"], ["evaluate", "--data", "PAIRS"]])
@pytest.mark.parametrize("content", [None, b"", b"<html></html>", b"PK\x03\x04half"])
def test_what_is_no_bundle_is_a_bundle_error(
    content: bytes | None,
    verb: list[str],
    images: tuple[str, str],
    pairs_folder: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    path = tmp_path / "some.edgefer"
    if content is not None:
        path.write_bytes(content)
    words = [{"IMAGE": images[0], "PAIRS": str(pairs_folder)}.get(word, word) for word in verb]
    error = answer(capsys, words[0], str(path), *words[1:], code=1)["error"]
    assert error["type"] == "BundleError"
    assert str(path) in error["message"]


def test_evaluate_counts(tiny_bundle: Path, pairs_folder: Path, capsys: Capture) -> None:
    said = answer(capsys, "evaluate", str(tiny_bundle), "--data", str(pairs_folder), "--layout", "pairs")
    assert (said["correct"], said["count"], said["accuracy"]) == (9, 10, 0.9)
    assert said["labels"] == ["dark", "bright"]
    assert said["confusion"] == [[4, 1], [0, 5]]
    assert said["mean_recall"] == pytest.approx(0.9)
    # Wilson (1927) for 9 of 10 at 95 %
    assert said["interval"]["low"] == pytest.approx(0.5958, abs=1e-4)
    assert said["interval"]["high"] == pytest.approx(0.9821, abs=1e-4)
    assert [each["recall"] for each in said["classes"]] == [0.8, 1.0]
    assert len(said["data"]["digest"]) == 64


def test_evaluate_in_words(tiny_bundle: Path, pairs_folder: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(tiny_bundle), "--data", str(pairs_folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("9 of 10 right: 90.00 % (95% interval 59.58 % to 98.21 %)")
    assert "true \\ taken for" in shown


def test_evaluate_on_other_labels_is_refused(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    for role in ("visible", "infrared"):
        (tmp_path / role / "amused").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / role / "amused" / "0.png"), np.zeros((8, 8), np.uint8))
    error = answer(capsys, "evaluate", str(tiny_bundle), "--data", str(tmp_path), code=1)["error"]
    assert error["type"] == "DataError"
    assert "amused" in error["message"] + error["details"]


def test_verify_names_its_checks(tiny_bundle: Path, capsys: Capture) -> None:
    said = answer(capsys, "verify", str(tiny_bundle))
    assert said["passed"] is True
    assert {"file", "digests", "graph fused"} <= {check["name"] for check in said["checks"]}
    assert main(["verify", str(tiny_bundle)]) == 0
    assert "the bundle is sound" in capsys.readouterr().out


def test_verify_of_a_damaged_bundle_ends_with_1(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    data = bytearray(tiny_bundle.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.edgefer"
    damaged.write_bytes(bytes(data))
    said = answer(capsys, "verify", str(damaged), code=1)
    assert said["passed"] is False
    assert main(["verify", str(damaged)]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["infer", "BUNDLE", "--visible", "V", "--infrared", "I"], "onnxruntime", "cpu"),
        (["infer", "BUNDLE", "--visible", "V", "--infrared", "I"], "cv2", "vision"),
        (["verify", "BUNDLE"], "onnxruntime", "cpu"),
        (["evaluate", "BUNDLE", "--data", "PAIRS"], "onnxruntime", "cpu"),
        (["networks"], "torch", "export"),
        (["train", "viri-fusion", "--data", "synthetic:8:1", "-o", "x.pt"], "torch", "export"),
    ],
)
def test_a_missing_extra_is_named(
    run_cli: Run,
    tiny_bundle: Path,
    pairs_folder: Path,
    images: tuple[str, str],
    words: list[str],
    package: str,
    extra: str,
) -> None:
    stand_for = {"BUNDLE": str(tiny_bundle), "V": images[0], "I": images[1], "PAIRS": str(pairs_folder)}
    # OpenVINO runs bundles where onnxruntime is missing.
    blocked = (package, "openvino") if package == "onnxruntime" else (package,)
    done = run_cli(*(stand_for.get(word, word) for word in words), "--json", blocked=blocked)
    assert done.returncode == 3, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "EnvironmentMismatch"
    assert f"edgefer[{extra}]" in error["hint"]


def test_inspect_needs_no_extra(run_cli: Run, tiny_bundle: Path) -> None:
    done = run_cli("inspect", str(tiny_bundle), blocked=("torch", "onnx", "onnxruntime", "cv2", "matplotlib", "jinja2"))
    assert done.returncode == 0, done.stderr


def test_infer_and_verify_need_neither_torch_nor_onnx(run_cli: Run, tiny_bundle: Path, images: tuple[str, str]) -> None:
    blocked = ("torch", "onnx", "onnxsim", "matplotlib", "jinja2")
    words = ("infer", str(tiny_bundle), "--visible", images[0], "--infrared", images[1])
    assert run_cli(*words, blocked=blocked).returncode == 0
    assert run_cli("verify", str(tiny_bundle), blocked=(*blocked, "cv2")).returncode == 0
