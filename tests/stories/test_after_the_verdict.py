"""What is left on disk when a build is over budget, or when compiling fails after the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgefer.errors import CompileError, EnvironmentMismatch
from edgefer.progress import Silent
from edgefer_export import build as building
from edgefer_export.spec import BuildSpec


def _spec(data: Any, folder: Path, **fields: Any) -> BuildSpec:
    return BuildSpec(
        network="viri-fusion",
        options={"width": "0.125", "size": "32"},
        evaluation=str(data.evaluation),
        precision="fp32",
        output=folder / "fusion.edgefer",
        **{"flavour": "none", **fields},
    )


def test_an_older_bundle_is_kept_and_told_about(data: Any, tmp_path: Path) -> None:
    (tmp_path / "fusion.edgefer").write_bytes(b"the bundle of last week")
    reporter = Silent()
    # Without weights the network is no better than the majority class, which cannot pass.
    result = building.build(_spec(data, tmp_path), reporter)
    assert (result.verdict, result.bundle) == ("fail", None)
    assert (tmp_path / "fusion.edgefer").read_bytes() == b"the bundle of last week"
    assert any("earlier build" in note for note in reporter.notes)


@pytest.mark.parametrize("kind", [CompileError, EnvironmentMismatch])
def test_a_failed_compilation_leaves_bundle_and_report(
    kind: type[Exception], data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise kind("TensorRT said no", hint="ask again")  # type: ignore[call-arg]

    monkeypatch.setattr(building, "compile_bundle", refuse)
    spec = _spec(data, tmp_path, flavour="auto", allow_over_budget=True)
    with pytest.raises(kind, match="bundle itself is whole"):
        building.build(spec, Silent())
    assert (tmp_path / "fusion.edgefer").is_file()
    assert (tmp_path / "fusion-report" / "report.html").is_file()
