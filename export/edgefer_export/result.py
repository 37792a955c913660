"""What a build hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgefer.bundle.manifest import Verdict
from edgefer_export.report.content import Report

if TYPE_CHECKING:
    from edgefer.engine.bundle_engine import EngineResult


@dataclass(frozen=True)
class BuildResult:
    """The files and the verdict of one build.

    Attributes:
        bundle: the bundle written; None when the verdict was `fail` and over-budget bundles were not allowed.
        report_html, report_json: the report, written whatever the verdict.
        verdict, reason: of the gate.
        report: the content of the report.
        engine: what was compiled; None with `flavour="none"` or without a TensorRT on this machine.
        seconds: seconds by stage.
    """

    bundle: Path | None
    report_html: Path
    report_json: Path
    verdict: Verdict
    reason: str
    report: Report
    engine: EngineResult | None
    seconds: Mapping[str, float]
