"""Which runner a session takes, and what its owner hears when a GPU that is there is not used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgefer
from edgefer.bundle.container import Bundle
from edgefer.bundle.verify import verify_bundle
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.errors import (
    BundleError,
    CompileError,
    DeviceError,
    EdgeferError,
    EdgeferWarning,
    EngineIncompatible,
    EngineMissing,
    EnvironmentMismatch,
    PluginMissing,
    UsageError,
)
from edgefer.runtime import fallback, runners
from edgefer.runtime.runner import RunnerRequest
from edgefer.runtime.runners import RunnerEntry
from edgefer.runtime.session import Session

pytest.importorskip("onnxruntime")

GPU = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=1 << 30),))
ERRORS = (BundleError, CompileError, DeviceError, EngineIncompatible, EnvironmentMismatch, PluginMissing)


def refusing(error: Exception) -> RunnerEntry:
    """TensorRT that is here, and raises when it has told some of what it found."""

    def opens(request: RunnerRequest) -> Any:
        request.settings["loading"] = "cold"
        request.seconds["engine"] = 5.0
        raise error

    return RunnerEntry("tensorrt", "tensorrt", lambda: None, opens, runners._tensorrt_unfit)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunnerEntry], None]:
    """A machine with a GPU, and this entry in the place of TensorRT's."""

    def put(entry: RunnerEntry) -> None:
        monkeypatch.setattr(fallback, "cuda_driver", lambda: GPU)
        monkeypatch.setattr(runners, "RUNNERS", (entry, *runners.RUNNERS[1:]))

    return put


@pytest.mark.parametrize("kind", ERRORS)
def test_whatever_tensorrt_refuses_the_cpu_answers_and_a_warning_says_why(
    tiny_bundle: Bundle, with_gpu: Any, kind: type[EdgeferError]
) -> None:
    with_gpu(refusing(kind("it will not", hint="do this", details="a log of many lines")))
    with pytest.warns(EdgeferWarning, match="the NVIDIA GPU of this machine .Orin. is not used") as caught:
        session = Session(tiny_bundle)
    assert len(caught) == 1
    assert "it will not (do this)" in str(caught[0].message)
    assert caught[0].filename == __file__
    why = str(session.info["why"])
    assert "no tensorrt: it will not (do this)" in why
    assert why.endswith("auto took cpu")
    assert session.info["device"] == "cpu"


@pytest.mark.parametrize("kind", ERRORS)
def test_with_tensorrt_asked_for_it_is_an_error(tiny_bundle: Bundle, with_gpu: Any, kind: type[EdgeferError]) -> None:
    with_gpu(refusing(kind("it will not", hint="do this", details="a log")))
    with pytest.raises(kind, match="it will not") as caught:
        Session(tiny_bundle, device="tensorrt")
    assert (caught.value.hint, caught.value.details) == ("do this", "a log")


def test_an_engine_that_is_required_and_missing_is_an_error_either_way(tiny_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(refusing(EngineMissing("none is there")))
    for device in ("auto", "tensorrt"):
        with pytest.raises(EngineMissing, match="none is there"):
            Session(tiny_bundle, device=device)


def test_settings_that_a_gpu_cannot_meet_are_an_error_either_way(tiny_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(refusing(UsageError("the limit is too small")))
    for device in ("auto", "tensorrt"):
        with pytest.raises(UsageError, match="too small"):
            Session(tiny_bundle, device=device)


def test_what_was_passed_over_is_not_said_of_what_answers(tiny_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(refusing(CompileError("no")))
    with pytest.warns(EdgeferWarning):
        info = Session(tiny_bundle).info
    assert info["loading"] is None
    assert info["gpu"] is None
    assert info["counters"] == {}
    seconds: Any = info["seconds"]
    assert "engine" not in seconds
    assert 0 <= seconds["tensorrt, passed over"] < 5
    assert seconds["open"] >= 0


def test_a_gpu_whose_runner_cannot_be_had(tiny_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(RunnerEntry("tensorrt", "tensorrt", lambda: "no TensorRT is installed", refusing(ValueError()).open))
    with pytest.warns(EdgeferWarning, match="no TensorRT is installed"):
        Session(tiny_bundle)
    with pytest.raises(EnvironmentMismatch, match="'tensorrt' is not available: no tensorrt: no TensorRT is installed"):
        Session(tiny_bundle, device="tensorrt")


def test_no_gpu_is_no_news(tiny_bundle: Bundle) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "no tensorrt: no CUDA driver" in str(Session(tiny_bundle).info["why"])


@pytest.mark.parametrize("options", [{"device": "cpu"}, {"device": "onnxruntime"}, {"optimise": False}])
def test_who_asks_for_the_cpu_is_not_warned(tiny_bundle: Bundle, with_gpu: Any, options: dict[str, Any]) -> None:
    with_gpu(refusing(CompileError("no")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Session(tiny_bundle, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"optimise": False}, "literally, node by node"), ({"cpu_form": "reduced"}, "reduces no weights")],
)
def test_what_only_the_cpu_can_do(tiny_bundle: Bundle, with_gpu: Any, options: dict[str, Any], reason: str) -> None:
    with_gpu(refusing(CompileError("no")))
    assert f"no tensorrt: it {'cannot' if 'optimise' in options else 'reduces'}" in str(
        Session(tiny_bundle, **options).info["why"]
    )
    with pytest.raises(UsageError, match=f"tensorrt cannot run this: .*{reason}") as caught:
        Session(tiny_bundle, device="tensorrt", **options)
    assert "device='cpu'" in caught.value.hint


def test_the_warning_is_laid_at_the_line_outside_edgefer(
    tiny_bundle: Bundle, tiny_bundle_path: Path, with_gpu: Any
) -> None:
    with_gpu(refusing(CompileError("no")))
    for opens in (
        lambda: Session(tiny_bundle),
        lambda: edgefer.load(tiny_bundle_path),
        lambda: verify_bundle(tiny_bundle_path),
    ):
        with pytest.warns(EdgeferWarning) as caught:
            opens()
        assert [each.filename for each in caught] == [__file__]


def test_the_last_runners_error_says_how_it_came_to_that_one(plain_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(refusing(DeviceError("cuInit failed: CUDA_ERROR_UNKNOWN")))
    with pytest.raises(BundleError, match="onnxruntime cannot load the graph") as caught:
        Session(plain_bundle)
    assert "no tensorrt: cuInit failed" in caught.value.details


def test_errors_of_a_defect_are_not_passed_over(tiny_bundle: Bundle, with_gpu: Any) -> None:
    with_gpu(refusing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        Session(tiny_bundle)


def test_a_runner_that_is_not_what_the_manifest_says_is_closed(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []

    class Other:
        inputs = {"other": (1, 2)}  # noqa: RUF012
        outputs = ("logits", "embedding")

        def close(self) -> None:
            closed.append(True)

    entry = RunnerEntry("other", "cpu", lambda: None, lambda request: Other())  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(runners, "RUNNERS", (entry,))
    with pytest.raises(BundleError, match="not what the manifest says"):
        Session(tiny_bundle)
    assert closed == [True]
