"""One distribution whose extras resolve to wheels on every machine it is meant for."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# Packages that the index holds as source only: on a Jetson pycuda is compiled against JetPack's CUDA, and TensorRT
# comes with JetPack (the index's `tensorrt` fetches its real wheels from NVIDIA's own index while it is installed).
# `tensorrt_rtx` is a thin source package over the two wheels below.
SOURCE_ONLY = {"pycuda", "tensorrt", "tensorrt_rtx"}
RTX_WHEELS = ["tensorrt_rtx_cu13_bindings>=1.7", "tensorrt_rtx_cu13_libs>=1.7"]


def _pip_resolve(requirements: list[str], python: str, machine: str, target: Path) -> subprocess.CompletedProcess[str]:
    # pip does not derive older manylinux tags from a newer one that is named, so each is named.
    glibcs = [f"manylinux_2_{minor}_{machine}" for minor in range(17, 36)] + [f"manylinux2014_{machine}"]
    platforms = [argument for tag in glibcs for argument in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--only-binary=:all:", *platforms]
    command += ["--python-version", python, "--implementation", "cp", "--target", str(target)]
    command += ["--constraint", str(ROOT / "constraints.txt"), *requirements]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _name(requirement: str) -> str:
    return requirement.split(">")[0].strip()


def _index_answers() -> bool:
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "msgspec"], capture_output=True, check=False, timeout=120
    )
    return listing.returncode == 0


@pytest.fixture(scope="module")
def package_index() -> None:
    if not _index_answers():
        pytest.skip("the package index does not answer")


@pytest.mark.network
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.10", "3.12"])
def test_every_extra_resolves_to_wheels(python: str, machine: str, tmp_path: Path, package_index: None) -> None:
    requirements = list(PROJECT["dependencies"])
    for wanted in EXTRAS.values():
        requirements += [r for r in wanted if _name(r) not in SOURCE_ONLY]
    if machine == "x86_64":
        requirements += RTX_WHEELS
    result = _pip_resolve(requirements, python, machine, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.network
@pytest.mark.parametrize("package", sorted(SOURCE_ONLY))
def test_the_listed_packages_exist_as_source_only(package: str, tmp_path: Path, package_index: None) -> None:
    requirement = next(r for wanted in EXTRAS.values() for r in wanted if _name(r) == package)
    result = _pip_resolve([requirement.split(";")[0]], "3.12", "x86_64", tmp_path)
    assert result.returncode != 0
    assert "No matching distribution" in result.stderr


def test_the_runtime_needs_no_heavy_package() -> None:
    base = {_name(requirement) for requirement in PROJECT["dependencies"]}
    assert base == {"numpy", "msgspec", "filelock", "platformdirs", "rich", "tomli"}
    assert EXTRAS["cpu"] == ["onnxruntime>=1.20"]


def test_the_constraints_file_pins_to_the_release() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)
    # A bare torch brings CUDA's libraries along, which are gigabytes.
    assert "torch==2.13.0" in lines


def test_the_binaries_of_the_kernels_are_packed() -> None:
    pytest.importorskip("hatchling.builders.wheel")
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    wanted = {f"edgefer/cubins/{path.name}" for path in (ROOT / "edgefer/cubins").iterdir()}
    assert "edgefer/cubins/index.json" in wanted
    for builder in (WheelBuilder(str(ROOT)), SdistBuilder(str(ROOT))):
        packed = {Path(each.relative_path).as_posix() for each in builder.recurse_included_files()}
        assert wanted <= packed, builder.PLUGIN_NAME


@pytest.mark.skipif(platform.system() != "Linux", reason="the wheel is built with the tools of a Linux checkout")
def test_the_wheel_holds_both_halves(tmp_path: Path) -> None:
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    assert "edgefer/errors.py" in names
    assert "edgefer/py.typed" in names
    assert "edgefer_export/__init__.py" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "export/"))]
