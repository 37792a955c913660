"""Which TensorRT is chosen, what it can do, and what a user is told when it is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edgefer.engine import flavours
from edgefer.engine.driver import CudaDriver, Gpu, cuda_driver
from edgefer.engine.flavours import Flavour, available, detect, install_hint, load
from edgefer.engine.known_bad import TABLE, known_bad
from edgefer.errors import DeviceError, EnvironmentMismatch, UsageError

NO_GPU = CudaDriver(version=None, problem="no CUDA driver")
ORIN = CudaDriver(
    version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30, multiprocessors=8),)
)


def module(version: str, strongly_typed: int | None = 1, **more: Any) -> SimpleNamespace:
    flags = SimpleNamespace() if strongly_typed is None else SimpleNamespace(STRONGLY_TYPED=strongly_typed)
    return SimpleNamespace(
        __version__=version, Builder=object, OnnxParser=object, NetworkDefinitionCreationFlag=flags, **more
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(tensorrt: Any = None, tensorrt_rtx: Any = None) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", tensorrt_rtx)

    return put


TENSORRT = module("10.3.0.30")
RTX = module("1.7.1.116", 0, ComputeCapability=object)


def test_auto_prefers_tensorrt_on_a_gpu(install: Any) -> None:
    install(TENSORRT, RTX)
    assert detect("auto", ORIN).name == "tensorrt"
    assert [each.name for each in available()] == ["tensorrt", "tensorrt_rtx"]


def test_auto_takes_the_one_that_builds_without_a_gpu_where_there_is_none(install: Any) -> None:
    install(TENSORRT, RTX)
    assert detect("auto", NO_GPU).name == "tensorrt_rtx"


def test_tensorrt_without_a_gpu_is_said_before_anything_is_built(install: Any) -> None:
    install(TENSORRT)
    for name in ("auto", "tensorrt"):
        with pytest.raises(DeviceError, match="on the GPU it will run on, and none was found"):
            detect(name, NO_GPU)


@pytest.mark.parametrize(("name", "extra"), [("tensorrt", "edgefer[tensorrt]"), ("tensorrt_rtx", "edgefer[rtx]")])
def test_a_missing_flavour_names_its_extra(
    install: Any, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setattr(flavours.platform, "machine", lambda: "x86_64")
    install()
    with pytest.raises(EnvironmentMismatch) as caught:
        detect(name, ORIN)
    assert extra in caught.value.hint
    assert caught.value.exit_code == 3


def test_auto_without_any_names_both_extras(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flavours.platform, "machine", lambda: "x86_64")
    install()
    with pytest.raises(EnvironmentMismatch, match="no TensorRT") as caught:
        detect("auto", NO_GPU)
    assert "edgefer[tensorrt]" in caught.value.hint
    assert "edgefer[rtx]" in caught.value.hint


def test_on_aarch64_tensorrt_comes_with_jetpack() -> None:
    assert "JetPack" in install_hint("tensorrt", "aarch64")
    assert "JetPack" not in install_hint("tensorrt", "x86_64")


def test_every_text_on_rtx_says_what_it_is_not_for(install: Any) -> None:
    install(None, RTX)
    for text in (detect("auto", NO_GPU).note, install_hint("tensorrt_rtx", "x86_64")):
        assert "not for a Jetson" in text
    assert "not for a Jetson" in install_hint("tensorrt_rtx", "aarch64")
    install(TENSORRT)
    assert detect("tensorrt", ORIN).note == ""


def test_an_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="tensorflow"):
        detect("tensorflow", ORIN)


def test_a_broken_installation_is_told_from_a_missing_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EnvironmentMismatch, match=r"(?s)cannot be imported.*libnvinfer"):
        load("tensorrt")


def test_a_package_without_builder_is_not_taken_for_tensorrt(install: Any) -> None:
    install(SimpleNamespace(__version__="0.0.1", __file__="/somewhere"))
    with pytest.raises(EnvironmentMismatch, match="no builder or no ONNX parser"):
        load("tensorrt")


@pytest.mark.parametrize(("number", "expected"), [(1, 2), (0, 1), (None, 0)])
def test_strong_typing_is_asked_for_as_the_release_numbers_it(number: int | None, expected: int) -> None:
    assert Flavour(name="tensorrt", module=module("11.0.0", number), version="11.0.0").network_flags == expected


def test_known_bad_releases_are_compared_part_by_part() -> None:
    assert [line.release for line in known_bad("tensorrt", "10.2.0.19")] == ["10.2.0"]
    assert [line.release for line in known_bad("tensorrt", "10.3.0")] == ["10.3"]
    assert known_bad("tensorrt", "10.20.0") == ()
    assert known_bad("tensorrt", "10.30.1") == ()
    assert known_bad("tensorrt_rtx", "10.2.0") == ()


def test_each_known_bad_release_has_a_public_link() -> None:
    assert TABLE
    for line in TABLE:
        assert line.link.startswith("https://")
        assert line.link in line.text()


class FakeCuda:
    """A driver with one GPU, answering through the pointers it is given as libcuda does."""

    def __init__(self, failing: str = "", integrated: bool = False) -> None:
        self.failing, self.integrated = failing, integrated

    def __getattr__(self, function: str) -> Any:
        if function == "cuMissing":
            raise AttributeError(function)

        def call(*arguments: Any) -> int:
            if function == self.failing:
                return 100
            answer = {"cuDriverGetVersion": 12060, "cuDeviceGetCount": 1, "cuDeviceTotalMem_v2": 8 << 30}
            if function == "cuGetErrorName":
                arguments[1]._obj.value = b"CUDA_ERROR_NO_DEVICE"
            elif function == "cuDeviceGetName":
                arguments[0].value = b"Orin"
            elif function == "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 8, 76: 7, 18: self.integrated, 16: 8}[arguments[1]]
            elif function in answer:
                arguments[0]._obj.value = answer[function]
            return 0

        return call


def test_the_driver_is_asked_for_version_and_gpus() -> None:
    assert cuda_driver(lambda name: FakeCuda()) == ORIN
    (gpu,) = cuda_driver(lambda name: FakeCuda(integrated=True)).gpus
    assert gpu == msgspec.structs.replace(ORIN.gpus[0], integrated=True)


@pytest.mark.parametrize("failing", ["cuInit", "cuDeviceGetCount", "cuDeviceGetName"])
def test_a_failing_driver_is_an_answer_and_not_an_error(failing: str) -> None:
    answer = cuda_driver(lambda name: FakeCuda(failing))
    assert answer.gpus == ()
    assert f"{failing} failed: CUDA_ERROR_NO_DEVICE" in answer.problem


def test_no_driver_or_a_library_that_is_none_is_an_answer() -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert "no CUDA driver" in cuda_driver(missing).problem
    assert "is not a CUDA driver" in cuda_driver(lambda name: object()).problem
