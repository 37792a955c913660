"""`edgefer benchmark` and `edgefer benchmark compare` as they are typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgefer.benchmark.result import Result
from edgefer.benchmark.spec import PARTS
from edgefer.benchmark.store import load, save
from edgefer.cli.main import main

pytest.importorskip("onnxruntime")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Capture = pytest.CaptureFixture[str]

QUICK = ("--device", "onnxruntime", "--threads", "1", "--runs", "20", "--seconds", "0.05", "--skip")
BUT_CLOSED = [part for part in PARTS if part != "closed"]


def answer(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def measured(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "today.json"
    assert main(["benchmark", str(tiny_bundle), *QUICK, *BUT_CLOSED, "-o", str(path), "--quiet"]) == 0
    return path


@pytest.fixture
def slower(measured: Path) -> Path:
    """The same result with every run taking twice as long."""
    result = load(measured)
    closed = tuple(
        msgspec.structs.replace(loop, durations=tuple(2 * value for value in loop.durations)) for loop in result.closed
    )
    return save(msgspec.structs.replace(result, closed=closed), measured.with_name("slower.json"))


def test_the_answer_is_the_result(tiny_bundle: Path, capsys: Capture) -> None:
    said = answer(capsys, "benchmark", str(tiny_bundle), *QUICK, *BUT_CLOSED)
    result = msgspec.convert(said, Result)
    assert result.closed[0].latency.count >= 20
    assert result.command[:2] == ("edgefer", "benchmark")
    assert result.missing["open"] == "left out with --skip"


def test_in_words_and_as_a_page(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    page = tmp_path / "today.html"
    assert main(["benchmark", str(tiny_bundle), *QUICK, *BUT_CLOSED, "--html", str(page)]) == 0
    shown = capsys.readouterr().out
    for part in ("Latency, one run after the other", "infer", "p50", "1 thread", f"written to {page}"):
        assert part in shown
    text = page.read_text()
    assert "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_page_without_its_packages_is_refused_before_anything_is_measured(
    tiny_bundle: Path, tmp_path: Path, run_cli: Run
) -> None:
    page, kept = tmp_path / "a.html", tmp_path / "a.json"
    words = ("benchmark", str(tiny_bundle), *QUICK, *BUT_CLOSED, "--html", str(page), "-o", str(kept))
    done = run_cli(*words, blocked=("matplotlib",))
    assert done.returncode == 3
    assert "edgefer[benchmark]" in done.stderr
    assert not page.exists()
    assert not kept.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--runs", "1"), 2, "runs is 1"),
        (("--device", "abacus"), 2, "abacus"),
        (("--skip", "everything"), 2, "everything"),
        (("--against", "abacus"), 2, "abacus"),
        (("-o", "/nowhere/a.json"), 2, "does not exist"),
        (("--graph", "saliency"), 1, "saliency"),
    ],
)
def test_what_cannot_be_asked_for(
    words: tuple[str, ...], code: int, said: str, tiny_bundle: Path, capsys: Capture
) -> None:
    assert main(["benchmark", str(tiny_bundle), "--quiet", *words]) == code
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_bundle(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "a.edgefer").write_text("<html>")
    assert main(["benchmark", str(tmp_path / "a.edgefer"), "--quiet"]) == 1
    assert "a.edgefer" in capsys.readouterr().err


def test_a_result_beside_itself_is_within_noise(measured: Path, capsys: Capture) -> None:
    said = answer(capsys, "benchmark", "compare", str(measured), str(measured), "--fail-if-slower")
    (other,) = said["others"]
    assert {figure["ratio"]["verdict"] for figure in other["figures"]} == {"within-noise"}


def test_a_slower_one_is_found(measured: Path, slower: Path, capsys: Capture) -> None:
    assert main(["benchmark", "compare", str(measured), str(slower)]) == 0
    assert "slower" in capsys.readouterr().out
    said = answer(capsys, "benchmark", "compare", str(measured), str(slower), "--fail-if-slower", code=1)
    (figure,) = said["others"][0]["figures"]
    assert figure["ratio"]["value"] == pytest.approx(2.0, rel=1e-6)
    assert answer(capsys, "benchmark", "compare", str(slower), str(measured), "--fail-if-slower")["others"]


def test_a_comparison_as_a_page(measured: Path, slower: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    page = tmp_path / "both.html"
    assert main(["benchmark", "compare", str(measured), str(slower), "--html", str(page)]) == 0
    assert "slower" in page.read_text()


def test_the_smallest_difference_that_counts_can_be_stated(measured: Path, slower: Path, capsys: Capture) -> None:
    said = answer(capsys, "benchmark", "compare", str(measured), str(slower), "--smallest", "99.9", "--fail-if-slower")
    assert {figure["ratio"]["verdict"] for figure in said["others"][0]["figures"]} == {"within-noise"}
    for wrong in ("-1", "100", "nan"):
        assert main(["benchmark", "compare", str(measured), str(slower), "--smallest", wrong]) == 2
        assert "from 0 to below 100 %" in capsys.readouterr().err


def test_a_single_result_cannot_be_compared(measured: Path, capsys: Capture) -> None:
    assert main(["benchmark", "compare", str(measured)]) == 2
    assert "two or more" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("<html>", "web page"), ('{"a": 1}', "no result")])
def test_what_is_no_result(content: str, said: str, measured: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    assert main(["benchmark", "compare", str(measured), str(path)]) == 1
    assert said in capsys.readouterr().err


def test_a_bundle_called_compare_can_still_be_measured(tiny_bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "compare").write_bytes(tiny_bundle.read_bytes())
    assert answer(capsys, "benchmark", str(tmp_path / "compare"), *QUICK, *BUT_CLOSED)["closed"]
