"""An engine that nobody compiled, for tests of what is done with engines: stored, found, carried, signed."""

from __future__ import annotations

import hashlib

from edgefer.engine.compile import CompiledEngine
from edgefer.engine.layers import LayerCounts
from edgefer.engine.report import EngineReport


def stand_in_engine(
    plan: bytes, *, version: str = "10.3.0", onnx: bytes = b"graph", timing: bytes = b""
) -> CompiledEngine:
    """Of `plan`, as if TensorRT of `version` had compiled it on an Orin, with a report that fits."""
    report = EngineReport(
        flavour="tensorrt",
        version=version,
        note="",
        targets=("8.7",),
        platform="Linux-aarch64",
        batches=(1,),
        dynamic=False,
        workspace_bytes=1 << 30,
        plugins=(),
        parsed_sha256=hashlib.sha256(onnx).hexdigest(),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        seconds={"total": 1.0},
        inputs=(),
        outputs=(),
        layers=(),
        counts=LayerCounts(),
    )
    return CompiledEngine(plan=plan, report=report, onnx=onnx, timing=timing)
