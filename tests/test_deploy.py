"""The files that put edgefer on a fleet: what can be checked of them without a Jetson."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgefer.cli.parser import parse

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def wheelhouse() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_wheelhouse", DEPLOY / "wheelhouse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unit() -> dict[str, list[str]]:
    """The settings of the unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "edgefer.service").read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_runs_commands_that_edgefer_has() -> None:
    commands = [shlex.split(line)[1:] for line in unit()["ExecStartPre"]]
    parsed = [parse(words) for words in commands]
    assert [each.verb for each in parsed] == ["verify", "cache import", "build-engine"]
    assert parsed[0].device == "cpu"  # on the GPU it compiles where the cache has no engine yet
    assert parsed[0].key == parsed[1].key
    assert parsed[2].require_cached is True
    cache = next(line for line in unit()["Environment"] if line.startswith("EDGEFER_CACHE="))
    assert cache == f"EDGEFER_CACHE=/var/lib/{unit()['StateDirectory'][0]}/cache"
    assert not {"PrivateDevices", "MemoryDenyWriteExecute"} & unit().keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "edgefer.service").read_text()
    # Neither the programs nor the user are on this machine.
    text = re.sub(r"/opt/edgefer/bin/\w+", shutil.which("true") or "", text).replace("User=edgefer\n", "")
    path = tmp_path / "edgefer.service"
    path.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr and "edgefer.service" not in done.stderr:
        pytest.skip(f"systemd-analyze cannot work here: {done.stderr.strip()}")
    assert "edgefer.service" not in done.stderr, done.stderr


def test_the_image_is_of_the_wheelhouse_and_runs_as_nobody_in_particular() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    steps = [line.split()[0] for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert steps[:2] == ["ARG", "FROM"]
    assert re.search(r"^ARG BASE=nvcr\.io/nvidia/l4t-jetpack:r36\.\d+\.\d+$", text, re.M)
    assert steps.index("USER") < steps.index("ENTRYPOINT")
    assert "--no-index" in text
    assert (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")[1:3] == ["*", "!wheelhouse"]
    assert [line.split()[1] for line in text.splitlines() if line.startswith("COPY")] == ["wheelhouse"]


def test_the_image_installs_what_the_wheelhouse_holds(wheelhouse: ModuleType) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert f'"edgefer[{wheelhouse.EXTRAS}]"' in text
    assert "-name 'pycuda-*.whl'" in text


def test_nothing_claims_to_have_run_on_a_jetson() -> None:
    for name in ("Dockerfile", "edgefer.service"):
        assert re.search(r"Nobody has (built or )?run", (DEPLOY / name).read_text()), name


def test_the_download_is_for_the_target(wheelhouse: ModuleType, tmp_path: Path) -> None:
    command = wheelhouse.download(tmp_path, tmp_path / "edgefer-1-py3-none-any.whl", "aarch64", "device,sign")
    tags = [command[index + 1] for index, word in enumerate(command) if word == "--platform"]
    assert tags[0] == "manylinux_2_35_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert "--only-binary=:all:" in command
    assert command[-2].endswith("edgefer-1-py3-none-any.whl[device,sign]")
    assert command[-1] == "cuda-bindings==12.*"
    assert set(wheelhouse.PYCUDA_NEEDS) <= set(command)
    assert "cuda-bindings==13.*" in wheelhouse.download(tmp_path, tmp_path / "e.whl", "aarch64", "cpu,device", "13")
    assert not [word for word in wheelhouse.download(tmp_path, tmp_path / "e.whl", "aarch64", "sign") if "cuda" in word]


def test_another_python_and_an_old_folder_are_refused(
    wheelhouse: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        wheelhouse.main([str(tmp_path), "--python", "3.99"])
    assert caught.value.code == 2
    assert "run this under python3.99" in capsys.readouterr().err
    (tmp_path / "old.whl").write_bytes(b"")
    with pytest.raises(SystemExit):
        wheelhouse.main([str(tmp_path), "--python", ".".join(map(str, sys.version_info[:2]))])
    assert "is not empty" in capsys.readouterr().err


def test_the_sums_are_those_of_the_wheels(wheelhouse: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"a")
    (tmp_path / "b.txt").write_bytes(b"b")
    assert wheelhouse.write_sums(tmp_path) == [f"{hashlib.sha256(b'a').hexdigest()}  a.whl"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


@pytest.mark.network
def test_a_wheelhouse_for_a_jetson_is_whole(wheelhouse: ModuleType, tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "pip", "index", "versions", "msgspec"]
    if subprocess.run(asked, capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("the package index does not answer")
    version = ".".join(map(str, sys.version_info[:2]))
    folder = tmp_path / "wheelhouse"
    assert wheelhouse.main([str(folder), "--python", version, "--extras", "sign"]) == 0
    names = {path.name.split("-")[0] for path in folder.glob("*.whl")}
    assert {"edgefer", "numpy", "msgspec", "cryptography"} <= names
    assert ("tomli" in names) == (sys.version_info < (3, 11))
    assert all("aarch64" in path.name or path.name.endswith("-any.whl") for path in folder.glob("*.whl"))


@pytest.mark.skipif(importlib.util.find_spec("cyclonedx_py") is None, reason="cyclonedx-bom is not installed")
def test_the_list_of_components_fits_its_schema(tmp_path: Path) -> None:
    target = tmp_path / "edgefer.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--output-reproducible", "--validate", "--output-format", "JSON", "--output-file", str(target)]
    subprocess.run([*command, sys.executable], check=True, capture_output=True)
    listed = json.loads(target.read_text())
    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "edgefer"
    assert {"numpy", "msgspec"} <= {component["name"] for component in listed["components"]}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("tegra", "folder"), [("", ".venv"), ("/etc/nv_tegra_release", ".venv-jetson")])
def test_the_check_of_a_gpu_is_one_command(tegra: str, folder: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "gpu-check", f"TEGRA={tegra}", "VENV=.venv"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},  # the tests' own make
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.replace("\\\n", " ").splitlines()
    assert lines[-1] == f"{folder}/bin/python -m benchmarks.gpu_check"
    (pycuda,) = [line for line in lines if "--no-binary pycuda" in line]
    assert pycuda.startswith('PATH="/usr/local/cuda/bin:$PATH" ' + folder)
    assert ("--system-site-packages" in done.stdout) == bool(tegra)
    assert ("export" in done.stdout) != bool(tegra)
