"""One step of a real build is damaged at a time; the verdict must be `fail` and must name that step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgefer.progress import Silent  # noqa: E402
from edgefer_export import onnx_export, steps  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.result import BuildResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402


def _is_kernel(initialiser: Any) -> bool:
    return len(initialiser.dims) == 4


def _scaled(model: Any, chosen: Callable[[Any], bool], factor: float) -> Any:
    """A copy of the model in which the first initialiser that is `chosen` is multiplied."""
    damaged = onnx.ModelProto()
    damaged.CopyFrom(model)
    for initialiser in damaged.graph.initializer:
        if chosen(initialiser):
            array = onnx.numpy_helper.to_array(initialiser)
            initialiser.CopyFrom(onnx.numpy_helper.from_array((array * factor).astype(array.dtype), initialiser.name))
            return damaged
    raise LookupError("no initialiser to damage")


def _first_activation_scale(model: Any) -> str:
    stored = {initialiser.name for initialiser in model.graph.initializer}
    produced = [node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in stored]
    return str(produced[len(produced) // 2].input[1])


def _build(checkpoint: Path, data: Any, folder: Path, precision: str) -> BuildResult:
    spec = BuildSpec(
        network="viri-fusion",
        weights=checkpoint,
        calibration=str(data.calibration),
        evaluation=str(data.evaluation),
        precision=precision,  # type: ignore[arg-type]
        flavour="none",
        output=folder / "damaged.edgefer",
    )
    return build(spec, Silent())


def test_a_wrong_export(checkpoint: Path, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = onnx_export.export_onnx

    def wrong(*arguments: Any, **options: Any) -> Any:
        exported = export(*arguments, **options)
        return replace(exported, model=_scaled(exported.model, _is_kernel, 1.5))

    monkeypatch.setattr(onnx_export, "export_onnx", wrong)
    result = _build(checkpoint, data, tmp_path, "int8")
    assert (result.verdict, result.report.blamed_step) == ("fail", "exported")
    assert result.bundle is None
    assert not list(tmp_path.glob("*.edgefer"))
    assert result.report_html.is_file()


def test_a_wrong_simplification(checkpoint: Path, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simplify = steps.simplify

    def wrong(*arguments: Any, **options: Any) -> Any:
        simpler = simplify(*arguments, **options)
        return replace(simpler, model=_scaled(simpler.model, _is_kernel, 0.5))

    monkeypatch.setattr(steps, "simplify", wrong)
    result = _build(checkpoint, data, tmp_path, "int8")
    assert (result.verdict, result.report.blamed_step) == ("fail", "simplified")


def test_a_ruined_scale(checkpoint: Path, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantise = steps.quantise

    def wrong(*arguments: Any, **options: Any) -> Any:
        graph = quantise(*arguments, **options)
        scale = _first_activation_scale(graph.model)
        return replace(graph, model=_scaled(graph.model, lambda initialiser: initialiser.name == scale, 0.02))

    monkeypatch.setattr(steps, "quantise", wrong)
    result = _build(checkpoint, data, tmp_path, "int8+fp16")
    assert (result.verdict, result.report.blamed_step) == ("fail", "int8")
    assert "int8" in result.reason


def test_a_wrong_cast(checkpoint: Path, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_half = steps.to_half

    def wrong(model: Any) -> Any:
        half = to_half(model)
        stored = {
            initialiser.name
            for initialiser in half.model.graph.initializer
            if initialiser.data_type == onnx.TensorProto.FLOAT16 and len(initialiser.dims) == 4
        }
        # What a cast through too narrow a type leaves: the small weights are gone.
        damaged = onnx.ModelProto()
        damaged.CopyFrom(half.model)
        for initialiser in damaged.graph.initializer:
            if initialiser.name in stored:
                array = onnx.numpy_helper.to_array(initialiser)
                kept = np.where(np.abs(array) > 2 * array.std(), array, 0).astype(array.dtype)
                initialiser.CopyFrom(onnx.numpy_helper.from_array(kept, initialiser.name))
        return replace(half, model=damaged)

    monkeypatch.setattr(steps, "to_half", wrong)
    result = _build(checkpoint, data, tmp_path, "fp16")
    assert (result.verdict, result.report.blamed_step) == ("fail", "fp16")
