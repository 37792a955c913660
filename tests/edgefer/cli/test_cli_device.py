"""`--device` and the options of a GPU. The GPU, its driver, PyCUDA and TensorRT are SIMULATED; none was asked."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.benchmark import run as benchmark_run
from edgefer.cli import gpu_options
from edgefer.cli.main import main
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.errors import CompileError, EdgeferWarning, UsageError
from edgefer.progress import Silent
from edgefer.runtime import fallback, runners
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.runners import RunnerEntry

pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
simulated_session = pytest.importorskip("simulated_session")
from simulation import simulate  # noqa: E402

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[str]:
    """A machine with a GPU, and the path of a bundle whose engine is known there."""
    simulation = simulate()
    with simulated_session.in_place(simulation):
        yield str(simulated_session.bundle().write(tmp_path / "tiny.edgefer"))
    simulation.gpu.assert_clean()


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    visible, infrared = tmp_path / "visible.png", tmp_path / "infrared.png"
    cv2.imwrite(str(visible), np.full((30, 20, 3), 230, np.uint8))
    cv2.imwrite(str(infrared), np.full((15, 15), 60_000, np.uint16))
    return ["--visible", str(visible), "--infrared", str(infrared)]


@pytest.fixture
def faces(tmp_path: Path) -> str:
    """A bundle whose labels synthetic data has."""
    bundle = simulated_session.tiny().make_tiny_bundle(simulated_session.tiny().TinyNetwork(size=16))
    return str(bundle.write(tmp_path / "faces.edgefer"))


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU for which TensorRT compiles nothing."""

    def opens(request: Any) -> Any:
        raise CompileError("TensorRT refused the graph", details="its log")

    entry = RunnerEntry("tensorrt", "tensorrt", lambda: None, opens)
    monkeypatch.setattr(runners, "RUNNERS", (entry, *runners.RUNNERS[1:]))
    gpu = Gpu(name="Orin", compute_capability="8.7", memory_bytes=1 << 30)
    monkeypatch.setattr(fallback, "cuda_driver", lambda: CudaDriver(version="12.6", gpus=(gpu,)))


def answer(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_infer_on_the_gpu(gpu: str, images: list[str], tmp_path: Path, capsys: Capture) -> None:
    cache = ["--cache", str(tmp_path / "plans")]
    given = ["--priority", "high", "--no-graphs", "--workspace", "64MiB", "--memory-limit", "1G"]
    said = answer(capsys, "infer", gpu, *images, "--device", "tensorrt", *cache, *given)
    assert said["info"]["runner"] == "tensorrt"
    assert said["info"]["loading"] == "cold"
    asked = said["info"]["gpu"]
    assert (asked["priority"], asked["graphs"]) == ("high", False)
    assert (asked["workspace_bytes"], asked["memory_limit"]) == (64 << 20, 10**9)
    on_cpu = answer(capsys, "infer", gpu, *images, "--device", "tensorrt", *cache, *given, "--require-cached")
    assert on_cpu["info"]["loading"] == "warm"
    assert on_cpu["logits"] == said["logits"]


def test_what_was_taken_and_why_is_on_standard_error(
    gpu: str, images: list[str], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["infer", gpu, *images, "--cache", str(tmp_path / "plans")]) == 0
    assert "runs on tensorrt, its engine loaded cold: auto took tensorrt" in capsys.readouterr().err


def test_an_engine_that_is_required_and_not_there(gpu: str, images: list[str], tmp_path: Path, capsys: Capture) -> None:
    words = ["infer", gpu, *images, "--device", "tensorrt", "--require-cached", "--cache", str(tmp_path)]
    assert answer(capsys, *words, code=3)["error"]["type"] == "EngineMissing"


def test_verify_on_the_gpu(gpu: str, tmp_path: Path, capsys: Capture) -> None:
    said = answer(capsys, "verify", gpu, "--device", "tensorrt", "--cache", str(tmp_path / "plans"))
    assert said["passed"]
    assert said["info"]["fused"]["device"] == "tensorrt"
    assert any(check["detail"] == "loaded by tensorrt" for check in said["checks"])


def test_benchmark_on_the_gpu(gpu: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_run, "THROUGHPUT_SECONDS", 0.05)
    skip = ["images", "open", "cold-start", "memory", "power", "compiled"]
    short = ["--runs", "20", "--seconds", "0.05", "--streams", "1", "2", "--cache", str(tmp_path / "plans")]
    said = answer(capsys, "benchmark", gpu, "--device", "tensorrt", *short, "--skip", *skip)
    settings = said["closed"][0]["settings"]
    assert (settings["device"], settings["copies"], settings["graph"]) == ("gpu", "on", "on")
    assert said["info"]["gpu"]["streams"] == 2
    assert {each["settings"]["streams"] for each in said["throughput"]} == {1, 2}
    assert "no profiler of its layers" in said["missing"]["layers"]


@pytest.mark.usefixtures("refused")
def test_falling_back_is_a_note_and_with_tensorrt_an_error(
    tiny_bundle: Path, images: list[str], capsys: Capture
) -> None:
    assert main(["infer", str(tiny_bundle), *images]) == 0
    shown = capsys.readouterr().err
    assert shown.count("warning: the NVIDIA GPU of this machine (Orin) is not used") == 1
    assert "no tensorrt: TensorRT refused the graph" in shown
    assert "UserWarning" not in shown
    assert main(["infer", str(tiny_bundle), *images, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    error = answer(capsys, "infer", str(tiny_bundle), *images, "--device", "tensorrt", code=1)["error"]
    assert (error["type"], error["details"]) == ("CompileError", "its log")
    said = answer(capsys, "verify", str(tiny_bundle), "--device", "tensorrt", code=1)
    failed = [check["detail"] for check in said["checks"] if not check["passed"]]
    assert failed == ["TensorRT refused the graph\nits log"]


@pytest.mark.parametrize("verb", ["infer", "evaluate", "verify", "benchmark"])
def test_a_device_that_is_not_here(faces: str, images: list[str], capsys: Capture, verb: str) -> None:
    more = {"infer": images, "evaluate": ["--data", "synthetic:4:1"]}.get(verb, [])
    error = answer(capsys, verb, faces, *more, "--device", "tensorrt", code=3)["error"]
    assert "'tensorrt' is not available: no tensorrt: no CUDA driver" in error["message"]
    error = answer(capsys, verb, faces, *more, "--device", "cuda", code=2)["error"]
    assert "expected one of auto, tensorrt, cpu" in error["message"]


def test_evaluate_says_what_answered(faces: str, capsys: Capture) -> None:
    said = answer(capsys, "evaluate", faces, "--data", "synthetic:5:1", "--device", "onnxruntime")
    assert said["info"]["why"] == "asked for"
    assert said["info"]["runner"] == "onnxruntime"


@pytest.mark.parametrize(
    "words", [["--memory-limit", "much"], ["--workspace", "0"], ["--priority", "urgent"], ["--plugins", "some"]]
)
def test_options_that_cannot_be(tiny_bundle: Path, capsys: Capture, words: list[str]) -> None:
    assert answer(capsys, "verify", str(tiny_bundle), *words, code=2)["error"]["type"] == "UsageError"


def parsed(*words: str) -> GpuSettings:
    parser = argparse.ArgumentParser()
    gpu_options.add_gpu(parser)
    return gpu_options.gpu_settings(parser.parse_args(words))


def test_what_is_not_given_is_as_usual() -> None:
    assert parsed() == GpuSettings()
    assert parsed("--cache", "x", "--require-cached", "--plugins", "inline") == GpuSettings(
        cache="x", require_cached=True, plugins="inline"
    )


@pytest.mark.parametrize("given", ["0", "0.4", "-5", "much", "9" * 400, "9" * 30])
@pytest.mark.parametrize("option", ["--memory-limit", "--workspace"])
def test_sizes_that_no_memory_has_name_the_option(option: str, given: str) -> None:
    with pytest.raises(UsageError, match=option) as caught:
        parsed(f"{option}={given}")
    assert "None" not in str(caught.value)


def test_a_cache_that_is_a_file_is_refused(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").write_text("in the way")
    given = ["--cache", str(tmp_path / "file")]
    for verb in (["verify", str(tiny_bundle)], ["cache", "list"], ["cache", "prune"]):
        error = answer(capsys, *verb, *given, code=2)["error"]
        assert error["message"].endswith("is a file; a folder is expected.")
    assert answer(capsys, "cache", "list", "--cache", str(tmp_path / "none"))["engines"] == []


def test_warnings_of_others_stay_warnings() -> None:
    told = Silent()

    def warn() -> None:
        with gpu_options.warnings_as_notes(told):
            warnings.warn("of another library", DeprecationWarning, stacklevel=1)
            for _ in range(2):
                warnings.warn(EdgeferWarning("once"), stacklevel=1)

    with pytest.warns(DeprecationWarning, match="of another library"):
        warn()
    assert told.notes == ["warning: once"]
