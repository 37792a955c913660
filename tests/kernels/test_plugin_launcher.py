"""The part of the C++ library that launches kernels, against a driver that says what it was asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "plugin_library"
PLUGIN = ROOT / "kernels" / "plugin"
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None or shutil.which("gcc") is None, reason="no g++ on this machine"),
    pytest.mark.skipif(not (CUDA / "cuda.h").is_file(), reason="no CUDA headers on this machine"),
]

Probe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launcher")
    sources = [str(PLUGIN / name) for name in ("binaries.cpp", "driver.cpp", "launcher.cpp")]
    compile_probe = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{PLUGIN}", "-isystem", str(CUDA)]
    subprocess.run(
        [*compile_probe, str(HERE / "launcher_probe.cpp"), *sources, "-o", str(folder / "probe"), "-ldl"], check=True
    )
    fake = folder / "driver"
    fake.mkdir()
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wall", str(HERE / "fake_cuda.c"), "-o", str(fake / "libcuda.so.1")], check=True
    )
    return folder


@pytest.fixture
def probe(folder: Path) -> Probe:
    def run(driver: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"LD_LIBRARY_PATH": str(driver or folder / "driver"), **variables}
        return subprocess.run(
            [str(folder / "probe")], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def test_each_context_loads_the_binary_once_and_launches_follow_the_plans_order(probe: Probe) -> None:
    done = probe(FAKE_PARAMETER_BYTES="12")

    first, second = "3412000000000000" + "07000000", "3412000000000000" + "09000000"
    assert done.stdout.splitlines() == [
        "module 1 in context 1 begins ORIN",
        "gpu 8.7 16 166912",
        "function one of module 1",
        "attribute 8 of one is 166816",
        "function two of module 1",
        "attribute 8 of two is 166816",
        f"launch one 2 3 4 256 1 1 1000 5 {first}",
        f"launch two 5 1 1 128 1 1 0 5 {first}",
        "function one of module 1",
        "attribute 8 of one is 166816",
        f"launch one 1 1 1 32 1 1 48 5 {second}",
        f"launch one 2 3 4 256 1 1 1000 5 {second}",
        f"launch two 5 1 1 128 1 1 0 5 {second}",
        "module 2 in context 2 begins ORIN",
        "function two of module 2",
        "attribute 8 of two is 166816",
        "contexts 101 101 102",
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("capability", "begins"),
    [("8.7", "ORIN"), ("9.0", "HOPP"), ("8.6", "PTX0"), ("8.9", "PTX0"), ("10.3", "PTXA"), ("12.1", "BLAC")],
)
def test_a_gpu_gets_its_own_binary_or_else_the_latest_ptx(probe: Probe, capability: str, begins: str) -> None:
    # Cubins of exact GPUs are for no other one, 8.9 after 8.7 among them; that for 12.0 is not exact.
    assert f"module 1 in context 1 begins {begins}" in probe(FAKE_CAPABILITY=capability).stdout


def test_a_gpu_without_kernels_is_told_which_there_are(probe: Probe) -> None:
    done = probe(FAKE_CAPABILITY="7.5")

    assert done.stdout == (
        "failure no kernels for a GPU of compute capability 7.5; there are: cubin for 8.7, cubin for 9.0, "
        "cubin for 12.0, PTX for 8.0 and later, PTX for 10.0 and later\n"
    )


def test_without_a_driver_nothing_crashes(probe: Probe, tmp_path: Path) -> None:
    if any(
        Path(place, "libcuda.so.1").exists() for place in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
    ):
        pytest.skip("this machine has a CUDA driver")
    done = probe(driver=tmp_path)

    assert done.stdout.startswith("failure no CUDA driver: libcuda.so.1")
    assert done.returncode == 1


def test_a_thread_without_a_context_gets_the_primary_one_of_the_first_gpu(probe: Probe) -> None:
    done = probe(FAKE_CONTEXT="0")

    assert done.stdout.startswith("module 1 in context 9 begins ORIN\n")
    assert done.stdout.endswith("contexts 109 109 102\n")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("cuDeviceGet", "asking for the first GPU"),
        ("cuDevicePrimaryCtxRetain", "asking for the GPU's primary context"),
        ("cuCtxSetCurrent", "making a CUDA context current"),
    ],
)
def test_a_thread_that_can_get_none_is_refused(probe: Probe, function: str, message: str) -> None:
    done = probe(FAKE_CONTEXT="0", FAKE_FAILS=function)

    assert done.stdout == f"failure {message}: CUDA_ERROR_ILLEGAL_ADDRESS (700)\n"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("cuInit", "starting the CUDA driver"),
        ("cuCtxGetCurrent", "asking for the CUDA context"),
        ("cuCtxGetDevice", "asking for the GPU"),
        ("cuModuleLoadDataEx", "loading cubin for 8.7 (what the compiler said)"),
        ("cuModuleGetFunction", "looking for the kernel one"),
        ("cuFuncSetAttribute", "giving the kernel one 166816 bytes of shared memory"),
        ("cuFuncLoad", "loading the kernel one"),
        ("cuLaunchKernel", "launching one"),
    ],
)
def test_an_error_of_the_driver_says_what_was_tried(probe: Probe, function: str, message: str) -> None:
    done = probe(FAKE_FAILS=function)

    assert done.stdout.splitlines()[-1] == f"failure {message}: CUDA_ERROR_ILLEGAL_ADDRESS (700)"
    assert done.returncode == 1
