"""The pages on sessions and on the Jetson: their code runs, on the CPU and a simulated GPU; their tables are whole."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "stand_ins"))
sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "stand_ins" / "gpu"))

from simulated_session import in_place, tiny
from simulation import simulate

import edgefer
from edgefer import errors
from edgefer.cli.parser import parse
from edgefer.engine.flavours import available
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

for needed in ("cv2", "onnx", "onnxruntime"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[2]
SIDE = 32
SESSIONS, JETSON = ROOT / "docs" / "sessions.md", ROOT / "docs" / "on-the-jetson.md"
NOT_OURS = {"sudo", "python3", ".", "python", "pip"}
"""What a machine without a Jetson's packages cannot run of a page."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(page: Path, language: str = "") -> list[Block]:
    """The fenced blocks of a page, those of a language only where one is given."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [Block(said, text) for said, text in found if not language or said == language]


def section(page: Path, heading: str) -> str:
    """What is below a heading."""
    found = re.split(rf"^##+ {re.escape(heading)}$", page.read_text(), flags=re.MULTILINE)
    assert len(found) == 2, heading
    return re.split(r"^## ", found[1], flags=re.MULTILINE)[0]


def names(table: str) -> set[str]:
    """What the first column of a table has in backticks."""
    return {
        name for row in re.findall(r"^\| ([^|]*)\|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    }


def commands(page: Path) -> list[list[str]]:
    """The lines of the blocks of shell."""
    text = "\n".join(block.text for block in blocks(page, "sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fusion.edgefer`, `cabin.py`, and its module `cameras`: three pairs of frames, of which one is of no use."""
    root = tmp_path_factory.mktemp("pages")
    tiny().make_tiny_bundle(tiny().TinyNetwork(size=SIDE)).write(root / "fusion.edgefer")
    (root / "cameras.py").write_text(
        "import itertools, os, time\n"
        "import numpy as np\n"
        "def pairs():\n"
        "    for number in itertools.count() if 'FOREVER' in os.environ else range(3):\n"
        "        frame = np.full((48, 64, 3), 80 * number % 256, np.uint8)\n"
        "        heat = np.full((24, 32), 9000, np.float32 if number == 1 else np.uint16)\n"
        "        yield frame, heat\n"
        "        time.sleep(0.01)\n"
    )
    (application,) = [block for block in blocks(JETSON, "python") if "cabin.py" in block.text]
    (root / "cabin.py").write_text(application.text)
    return root


def names_of_the_page(folder: Path) -> dict[str, Any]:
    """What the code of the page on sessions takes for granted."""
    feeds = tiny().tiny_feeds(tiny().TinyNetwork(size=SIDE))
    return {
        **feeds,
        "edgefer": edgefer,
        "frame": np.full((480, 640, 3), 90, np.uint8),
        "heat": np.full((240, 320), 9000, np.uint16),
        "__name__": "page",
    }


def test_the_code_on_sessions_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    space = names_of_the_page(folder)
    found = blocks(SESSIONS, "python")
    assert len(found) == 7
    for block in found:
        exec(block.text, space)
    assert space["estimate"].label in space["session"].labels
    space["session"].close()
    assert {block.language for block in blocks(SESSIONS)} == {"python", "python gpu"}


def test_the_code_on_arrays_in_gpu_memory_runs_on_a_simulated_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    simulation = simulate()
    space = names_of_the_page(folder)
    (block,) = blocks(SESSIONS, "python gpu")
    with in_place(simulation):
        from edgefer.runtime.cuda import CudaDevice

        device = CudaDevice()
        for role in ("visible", "infrared"):
            memory = device.allocate(space[role].nbytes)
            simulation.gpu.view(memory.address, space[role].shape, np.float32)[...] = space[role]
            space[f"{role}_on_gpu"] = type(
                "OnGpu",
                (),
                {
                    "__cuda_array_interface__": {
                        "shape": space[role].shape,
                        "typestr": "<f4",
                        "data": (memory.address, False),
                        "version": 3,
                        "stream": None,
                    }
                },
            )()
        exec(block.text, space)
        device.close()
    simulation.gpu.assert_clean()
    counters = eval(capsys.readouterr().out)
    assert (counters["copied"], counters["bound"]) == (2, 2)


def application(folder: Path, bundle: str) -> subprocess.CompletedProcess[str]:
    """The thirty lines of the page, run to their end."""
    return subprocess.run(
        [sys.executable, "cabin.py", bundle], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_application_answers_and_goes_on_after_a_bad_frame(folder: Path) -> None:
    assert len((folder / "cabin.py").read_text().splitlines()) <= 30
    done = application(folder, "fusion.edgefer")
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert "no tensorrt" in first
    assert "float32" in second
    assert len(done.stdout.splitlines()) <= 2


def test_the_application_says_what_is_missing(folder: Path) -> None:
    done = application(folder, "none.edgefer")
    assert done.returncode == errors.BundleError.exit_code
    assert "none.edgefer" in done.stderr


def test_the_application_ends_when_it_is_told_to(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "cabin.py", "fusion.edgefer"],
        cwd=folder,
        env={**os.environ, "FOREVER": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as application:
        assert application.stderr is not None
        assert "no tensorrt" in application.stderr.readline()
        time.sleep(0.2)
        application.send_signal(signal.SIGTERM)
        assert application.wait(30) == 0


def test_the_commands_are_ones_of_edgefer(folder: Path) -> None:
    found = commands(JETSON)
    assert [each for each in found if each[0] != "edgefer" and each[0] not in NOT_OURS and "=" not in each[0]] == []
    for each in found:
        if each[0] == "edgefer":
            parse(each[1:])


def test_the_commands_run_as_far_as_they_can_without_a_gpu(folder: Path, edgefer: Callable[..., Any]) -> None:
    verbs = {tuple(each[1:]) for each in commands(JETSON) if each[0] == "edgefer"}
    assert ("doctor",) in verbs
    for verb in sorted(verbs, key=lambda each: (each[0] == "cache", each)):  # after what fills it
        answer = edgefer(*verb, cwd=folder)
        compiles = verb[0] == "build-engine" and not available()
        if "tensorrt" in verb or compiles:
            assert answer.code == errors.EnvironmentMismatch.exit_code, answer.stderr
            continue
        assert answer.code == 0, answer.stderr
        if verb == ("doctor",):
            lines = [need["verb"] for need in answer.value["needs"]]
            assert sum(line.startswith("Session on the GPU") for line in lines) == 2


def test_the_tables_on_sessions_are_whole(folder: Path) -> None:
    with Session(folder / "fusion.edgefer", device="onnxruntime") as session:
        assert names(section(SESSIONS, "What it says of itself")) == set(session.info)
    assert names(section(SESSIONS, "Which device").partition("setting")[2]) == {
        each.name for each in fields(GpuSettings)
    }
    known = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert names(section(SESSIONS, "Errors")) <= known


def test_the_tables_about_a_gpu_are_whole(folder: Path, tmp_path: Path) -> None:
    with (
        in_place(simulate()),
        Session(folder / "fusion.edgefer", device="tensorrt", gpu=GpuSettings(cache=tmp_path)) as it,
    ):
        counters: Any = it.info["counters"]
        seconds: Any = it.info["seconds"]
        assert it.info["loading"] == "cold"
    assert names(section(SESSIONS, "Arrays in GPU memory")) == set(counters)
    stages = section(JETSON, "The first start and the next ones").partition("On a CPU")[0]
    assert names(stages) == set(seconds) - {"open"}


def test_links_lead_somewhere() -> None:
    for page in (SESSIONS, JETSON, ROOT / "docs" / "gpu-check.md"):
        for target, anchor in re.findall(r"\]\(([\w.-]*\.md)?(#[\w-]+)?\)", page.read_text()):
            other = page.parent / target if target else page
            assert other.is_file(), (page.name, target)
            if anchor:
                headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
                assert anchor[1:] in slugs, (page.name, target, anchor)
