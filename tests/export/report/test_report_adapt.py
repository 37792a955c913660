"""What the steps of a build hand back, as the report shows it."""

from __future__ import annotations

import pytest

from edgefer_export.criteria import Criterion
from edgefer_export.report.adapt import budget_checks, engine_summary, tensor_ranges


def test_a_class_is_named_in_its_line() -> None:
    criterion = Criterion("class recall", "points", 0.5, -0.4, 1.4, 1.5, "undecided", images=900, subject="sad")
    (check,) = budget_checks([criterion])
    assert check.measure == "recall of sad"
    assert (check.value, check.low, check.high, check.limit) == (0.5, -0.4, 1.4, 1.5)
    assert (check.verdict, check.images, check.confidence) == ("undecided", 900, 0.95)


def test_ranges_keep_what_was_seen_and_the_limit() -> None:
    pytest.importorskip("onnx")
    from edgefer_export.quantise.result import Range

    seen = Range(method="percentile", minimum=-2.0, maximum=7.0, threshold=6.5, scale=6.5 / 127, clipped=1e-4)
    (tensor,) = tensor_ranges({"/conv/output": seen})
    assert (tensor.name, tensor.low, tensor.high, tensor.limit) == ("/conv/output", -2.0, 7.0, 6.5)


def test_no_engine_gives_no_summary() -> None:
    pytest.importorskip("onnx")
    from edgefer.engine.bundle_engine import EngineResult

    assert engine_summary(EngineResult("none", "", (), ("no engine was asked for",), "trtexec")) is None
