"""What `edgefer doctor` finds out, on this machine and on machines made up for the purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgefer import environment
from edgefer.engine.driver import CudaDriver, Gpu
from edgefer.environment import Environment, examine
from edgefer.kernels import cubins
from edgefer.needs import GPU, PACKAGES, TENSORRT, needs
from edgefer.tegra import Tegra, tegra

NO_DRIVER = CudaDriver(version=None, problem="no CUDA driver")
ORIN = CudaDriver(version="12.6", gpus=(Gpu(name="Orin", compute_capability="8.7", memory_bytes=8 << 30),))


Install = Callable[[str, str], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Put a made-up module first on the path, for this process and for the child that imports it."""

    def put(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return put


def flavour(found: Environment, name: str) -> environment.TensorRt:
    return next(each for each in found.tensorrt if each.name == name)


def test_this_machine_is_described_and_survives_json() -> None:
    found = examine()
    assert found.python == ".".join(str(part) for part in sys.version_info[:3])
    assert found.cpus >= 1
    assert {package.name for package in found.packages} == set(PACKAGES)
    assert next(package for package in found.packages if package.name == "numpy").version
    assert msgspec.json.decode(msgspec.json.encode(found), type=Environment) == found
    if sys.platform == "linux":
        assert found.memory_bytes
        assert found.memory_available_bytes
        assert 0 < found.memory_available_bytes <= found.memory_bytes


def test_a_flavour_that_imports_states_its_version_and_what_is_known_against_it(install: Install) -> None:
    install("tensorrt", "print('hello from a library'); __version__ = '10.2.0.19'")
    found = flavour(examine(driver=ORIN), "tensorrt")
    assert (found.imports, found.version, found.problem) == (True, "10.2.0.19", "")
    assert [line.release for line in found.known_bad] == ["10.2.0"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise ImportError('libnvinfer.so.10 is missing')", "libnvinfer.so.10 is missing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("pass", "__version__"),
        ("import sys; sys.exit(5)", "status 5"),
    ],
)
def test_a_broken_flavour_is_described_and_not_raised(install: Install, code: str, problem: str) -> None:
    install("tensorrt", code)
    found = flavour(examine(driver=NO_DRIVER), "tensorrt")
    assert (found.installed, found.imports) == (True, False)
    assert problem in found.problem
    assert found.hint


def test_an_import_that_does_not_end_is_given_up(install: Install) -> None:
    install("tensorrt", "import time; time.sleep(60)")
    assert flavour(examine(driver=NO_DRIVER, import_timeout=1), "tensorrt").problem.endswith("longer than 1 s")


def test_rtx_says_what_it_is_not_for(install: Install) -> None:
    install("tensorrt_rtx", "__version__ = '1.7'")
    assert "not for a Jetson" in flavour(examine(driver=NO_DRIVER), "tensorrt_rtx").note


def test_a_file_of_the_callers_folder_is_not_taken_for_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tensorrt.py").write_text("print('version 99'); __version__ = '99'")
    version, problem = environment._imported("tensorrt", 30)
    assert version != "99"
    assert version or problem


def test_each_gpu_is_told_which_kernels_it_takes() -> None:
    found = examine(driver=ORIN).kernels
    assert found.problem == ""
    assert "PTX for 8.0 and later" in found.binaries
    assert found.taken == ("Orin takes the cubin for 8.7",)
    old = CudaDriver(version="12.6", gpus=(Gpu(name="GTX 1080", compute_capability="6.1", memory_bytes=8 << 30),))
    (taken,) = examine(driver=old).kernels.taken
    assert taken.startswith("GTX 1080: edgefer has no kernels for")


def test_damaged_kernels_are_described_and_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / cubins.INDEX).write_bytes((cubins.FOLDER / cubins.INDEX).read_bytes())
    real = cubins.read
    monkeypatch.setattr(cubins, "read", lambda binary: real(binary, tmp_path))
    found = examine(driver=ORIN).kernels
    assert (found.binaries, found.taken) == ((), ())
    assert "cannot be read" in found.problem


def test_missing_packages_are_listed_for_each_verb() -> None:
    nothing = {**dict.fromkeys(PACKAGES, False), TENSORRT: False, GPU: False}
    lines = {need.verb: need for need in needs(nothing, lambda: "get TensorRT")}
    assert lines["infer"].missing == ("onnxruntime", "opencv-python")
    assert lines["infer"].hint == "pip install 'edgefer[cpu,vision]'"
    assert "edgefer[export]" in lines["build-engine NETWORK"].hint
    assert lines["build-engine BUNDLE"].missing == ("onnx", TENSORRT)
    assert lines["build-engine BUNDLE"].hint == "pip install 'edgefer[device]'; get TensorRT"
    assert lines["inspect"].missing == ()
    warm, cold = (lines[f"Session on the GPU, engine {how}"] for how in ("in the cache", "compiled first"))
    assert warm.missing == (GPU, "pycuda", "cuda-bindings", TENSORRT)
    assert warm.hint == "pip install 'edgefer[device,pycuda]'; get TensorRT; run it where they are"
    assert cold.missing == (*warm.missing, "onnx")


def test_a_gpu_alone_is_missed_without_packages_being_named() -> None:
    found = {**dict.fromkeys(PACKAGES, True), TENSORRT: True, GPU: False}
    missed = [need for need in needs(found, lambda: "get TensorRT") if need.missing]
    assert [need.missing for need in missed] == [(GPU,), (GPU,)]
    assert {need.hint for need in missed} == {"run it where they are"}


@pytest.mark.parametrize(
    ("driver", "code", "problem"),
    [
        (ORIN, "def get_version(): return (12, 6, 0)", ""),
        (ORIN, "raise ImportError('undefined symbol: cuCtxCreate_v4')", "undefined symbol: cuCtxCreate_v4"),
        (NO_DRIVER, "raise ImportError('libcuda.so.1 is missing')", ""),
    ],
)
def test_pycuda_is_imported_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: CudaDriver, code: str, problem: str
) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").touch()
    (tmp_path / "pycuda" / "driver.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pycuda", raising=False)
    found = examine(driver=driver)
    pycuda = next(package for package in found.packages if package.name == "pycuda")
    assert pycuda.installed
    assert problem in pycuda.problem
    assert ("against this machine's CUDA" in pycuda.problem) == bool(problem)
    session = next(need for need in found.needs if need.verb == "Session on the GPU, engine in the cache")
    assert ("pycuda" in session.missing) == bool(problem)
    assert (GPU in session.missing) == (driver is NO_DRIVER)


def test_nothing_is_missing_where_everything_is_installed() -> None:
    everything = {**dict.fromkeys(PACKAGES, True), TENSORRT: True, GPU: True}
    assert all(need.missing == () and need.hint == "" for need in needs(everything, lambda: "get TensorRT"))


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("R36 (release), REVISION: 4.3", Tegra(l4t="36.4.3", jetpack="6.2")),
        ("R36 (release), REVISION: 4.0", Tegra(l4t="36.4", jetpack="6.1")),
        ("R36 (release), REVISION: 3.0", Tegra(l4t="36.3", jetpack="6.0")),
        ("R35 (release), REVISION: 5.0", Tegra(l4t="35.5", jetpack="5")),
        ("R38 (release), REVISION: 2.0", Tegra(l4t="38.2", jetpack="7")),
        ("R39 (release), REVISION: 2.0", Tegra(l4t="39.2", jetpack="7.2")),
        ("R77 (release), REVISION: 1.2", Tegra(l4t="77.1.2", jetpack=None)),
    ],
)
def test_the_jetson_release_is_read_from_its_file(tmp_path: Path, revision: str, expected: Tegra) -> None:
    path = tmp_path / "nv_tegra_release"
    path.write_text(f"# {revision}, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Thu Jan 1\n# KERNEL_VARIANT: oot\n")
    assert tegra(path) == expected
    assert examine(tegra_release=path, driver=ORIN).tegra == expected


def test_no_release_file_or_another_text_in_it_is_no_jetson(tmp_path: Path) -> None:
    assert tegra(tmp_path / "missing") is None
    (tmp_path / "other").write_bytes(b"\xff\xfe something else")
    assert tegra(tmp_path / "other") is None


def test_looking_imports_nothing_heavy() -> None:
    code = (
        "import sys, json; from edgefer.environment import examine; examine();"
        "print(json.dumps(sorted(name for name in ('torch', 'onnx', 'cv2', 'onnxruntime', 'matplotlib', 'tensorrt',"
        " 'tensorrt_rtx', 'pycuda') if name in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
