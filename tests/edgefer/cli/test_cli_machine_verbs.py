"""doctor and networks: what this machine can do, and what can be built."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from edgefer.cli.main import main
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.engine.known_bad import TABLE
from edgefer.environment import Environment, KernelBinaries, Package, TensorRt
from edgefer.needs import Need
from edgefer.tegra import Tegra
from edgefer.version import __version__

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Capture = pytest.CaptureFixture[str]


def environment(**changes: Any) -> Environment:
    fields: dict[str, Any] = {
        "edgefer": __version__,
        "python": "3.10.12",
        "executable": "/usr/bin/python3",
        "system": "Linux 5.15.148-tegra",
        "machine": "aarch64",
        "cpus": 8,
        "memory_bytes": 8_000_000_000,
        "memory_available_bytes": 5_500_000_000,
        "tegra": Tegra(l4t="36.4.3", jetpack="6.2"),
        "driver": CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),)),
        "tensorrt": (
            TensorRt(name="tensorrt", installed=True, imports=True, version="10.3.0", known_bad=(TABLE[1],)),
            TensorRt(name="tensorrt_rtx", installed=False, imports=False, version=None, hint="not for this machine"),
        ),
        "kernels": KernelBinaries(binaries=("cubin for 8.7",), taken=("Orin takes the cubin for 8.7",)),
        "packages": (),
        "needs": (
            Need(verb="infer", missing=("onnxruntime",), hint="pip install 'edgefer[cpu,vision]'"),
            Need(verb="inspect", missing=(), hint=""),
        ),
    }
    return Environment(**{**fields, **changes})


def doctor(monkeypatch: pytest.MonkeyPatch, capsys: Capture, **changes: Any) -> str:
    monkeypatch.setattr("edgefer.environment.examine", lambda: environment(**changes))
    assert main(["doctor"]) == 0
    return capsys.readouterr().out


def test_doctor_says_why_a_package_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    packages = (
        Package(name="pycuda", installed=True, version="2026.1", problem="undefined symbol; compile it"),
        Package(name="onnx", installed=False, version=None),
        Package(name="numpy", installed=True, version=None),
    )
    shown = doctor(monkeypatch, capsys, packages=packages)
    assert "2026.1, but it cannot be imported: undefined symbol; compile it" in shown
    assert [line.split() for line in shown.splitlines() if line.startswith(("onnx ", "numpy "))] == [
        ["onnx", "missing"],
        ["numpy", "installed"],
    ]


def test_doctor_on_a_jetson(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    shown = doctor(monkeypatch, capsys)
    for part in ("Python", "3.10.12", "L4T 36.4.3, JetPack 6.2", "Orin, compute capability 8.7", "12.6", "10.3.0"):
        assert part in shown
    assert f"known to be bad: {TABLE[1].text()}" in shown
    assert "not installed; not for this machine" in shown
    assert "Orin takes the cubin for 8.7" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["inspect", "yes"] in lines
    assert any(line[:3] == ["infer", "no", "onnxruntime:"] and line[-1] == "'edgefer[cpu,vision]'" for line in lines)


def test_doctor_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    driver = CudaDriver(version=None, problem="no CUDA driver: libcuda.so.1 is missing")
    kernels = KernelBinaries(problem="the index of the kernels' binaries cannot be read")
    broken = TensorRt(name="tensorrt", installed=True, imports=False, version="10.3.0", problem="libnvinfer is missing")
    shown = doctor(
        monkeypatch, capsys, driver=driver, tegra=None, tensorrt=(broken,), memory_bytes=None, kernels=kernels
    )
    assert "libcuda.so.1 is missing" in shown
    assert "10.3.0, but it cannot be imported: libnvinfer is missing" in shown
    assert "memory unknown" in shown
    assert "the index of the kernels' binaries cannot be read" in shown
    assert "Jetson" not in shown


def test_doctor_works_where_nothing_is_installed(run_cli: Run) -> None:
    blocked = ("torch", "onnx", "onnxruntime", "onnxsim", "cv2", "matplotlib", "jinja2", "tensorrt", "tensorrt_rtx")
    done = run_cli("doctor", "--json", blocked=blocked)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    missing = {need["verb"]: need["missing"] for need in said["needs"]}
    assert "onnxruntime" in missing["infer"]
    assert "torch" in missing["build-engine NETWORK"]
    assert missing["inspect"] == []


def test_networks_lists_names_parameters_and_options(capsys: Capture) -> None:
    pytest.importorskip("torch")
    assert main(["networks", "--json"]) == 0
    said = {each["name"]: each for each in json.loads(capsys.readouterr().out)["networks"]}
    assert {"viri-visible", "viri-infrared", "viri-fusion", "cbam-early-fusion"} <= set(said)
    assert said["viri-fusion"]["parameters"] == 23_142_533
    assert "10.7717/peerj-cs.2676" in said["viri-fusion"]["paper"]
    options = {each["name"]: each for each in said["viri-fusion"]["options"]}
    assert options["size"]["default"] == "224"
    assert options["gate"]["choices"] == ["linear", "square", "none"]


def test_one_network_in_words(capsys: Capture) -> None:
    pytest.importorskip("torch")
    assert main(["networks", "viri-visible"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("viri-visible  11,571,781 parameters")
    assert "viri-fusion" not in shown


def test_an_unknown_network_is_met_with_the_known_ones(capsys: Capture) -> None:
    pytest.importorskip("torch")
    assert main(["networks", "viri-fussion"]) == 2
    assert "viri-fusion" in capsys.readouterr().err
