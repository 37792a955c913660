"""Cold starts: how stages add up, on made-up answers, and a real start of a small bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.benchmark import cold_start as cold_start_module
from edgefer.benchmark.child import Answer
from edgefer.benchmark.cold_start import cold_start, summarise
from edgefer.benchmark.gpu_argument import from_argument
from edgefer.benchmark.spec import BenchmarkSpec
from edgefer.bundle.container import Bundle
from edgefer.cache_folder import VARIABLE
from edgefer.errors import BundleError, UsageError
from edgefer.runtime.gpu_settings import GpuSettings


def answered(opening: float, total: float = 10.0) -> Answer:
    value = {
        "begun": 100.5,
        "ended": 109.0,
        "seconds": {"import": 2.0, "read": 0.25, "verify": 0.25, "open": opening, "first answer": 1.0},
        "opening": {"read": 0.0, "form": opening - 0.5, "open": 0.5},
        "runner": "onnxruntime",
        "checked": "",
    }
    return Answer(value, started=100.0, seconds=total)


def test_stages_are_medians_with_their_range_and_add_up() -> None:
    found = summarise([answered(each) for each in (1.0, 3.0, 2.0)], [])
    stages = {stage.name: stage for stage in found.stages}
    assert list(stages) == ["interpreter", "import", "read", "verify", "compile or cache", "first answer", "rest"]
    assert stages["interpreter"].seconds == 0.5
    opening = stages["compile or cache"]
    assert (opening.seconds, opening.low, opening.high) == (2.0, 1.0, 3.0)
    assert opening.note == "form 1.5e+03 ms, open 500 ms"
    assert sum(stage.seconds for stage in found.stages) == found.total == 10.0
    assert (found.empty_total, found.empty_stages) == (None, ())
    assert "nothing is cached" in found.note
    assert "page cache" in found.note


def test_a_filled_cache_is_told_beside_an_empty_one() -> None:
    found = summarise([answered(4.0, 13.0)], [answered(1.0)])
    assert (found.repeats, found.total, found.empty_total) == (1, 10.0, 13.0)
    assert [stage.seconds for stage in found.empty_stages if stage.name == "compile or cache"] == [4.0]
    assert "nothing is cached" not in found.note


def test_each_empty_start_has_a_cache_of_its_own(tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[tuple[str, bool]] = []

    def ask(module: str, arguments: list[str], *, environment: dict[str, str], timeout: float) -> Answer:
        cache = Path(environment[VARIABLE])
        *_, modules, gpu = arguments
        assert from_argument(gpu) == GpuSettings(streams=2)  # what it says of a cache is left out
        assert timeout == 1800
        caches.append((modules, cache.exists()))
        (cache / "forms").mkdir(parents=True, exist_ok=True)
        (cache / "forms" / "one.onnx").write_bytes(b"x")
        return answered(1.0)

    monkeypatch.setattr(cold_start_module, "ask", ask)
    settings = GpuSettings(streams=2, cache="somewhere", require_cached=True)
    found = cold_start(Bundle.read(tiny_bundle_path), BenchmarkSpec(repeats=2, gpu=settings))
    assert caches == [("", False), *[("onnxruntime", False)] * 2, *[("onnxruntime", True)] * 2]
    assert found.empty_total is not None


def test_a_real_start(tiny_bundle_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    found = cold_start(Bundle.read(tiny_bundle_path), BenchmarkSpec(device="onnxruntime", threads=1, repeats=1))
    names = [stage.name for stage in found.stages]
    assert names[:5] == ["interpreter", "import", "read", "verify", "compile or cache"]
    assert names[5:] == ["self-check", "first answer", "rest"]
    assert sum(stage.seconds for stage in found.stages) == pytest.approx(found.total)
    assert min(stage.seconds for stage in found.stages) > 0
    assert "4 inputs answered" in found.stages[5].note


def test_a_bundle_in_memory_has_no_start(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="from a file"):
        cold_start(tiny_bundle, BenchmarkSpec())


def test_what_the_child_refuses_is_raised_here(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = Bundle.read(tiny_bundle.write(tmp_path / "x.edgefer"))
    (tmp_path / "x.edgefer").write_bytes(b"damaged")
    with pytest.raises(BundleError):
        cold_start(bundle, BenchmarkSpec(device="cpu"))


def test_imports_of_the_child_are_its_own(tiny_bundle_path: Path) -> None:
    # What is imported before the first time is taken would be counted as the interpreter's start.
    import subprocess
    import sys

    program = (
        "import sys; import edgefer.benchmark.cold_child; "
        "print([name for name in ('numpy', 'msgspec', 'json', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
