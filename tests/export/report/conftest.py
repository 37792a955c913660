"""A report with everything in it, of the size that a full-width build has. The figures are made up."""

from __future__ import annotations

import numpy as np
import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec, NetworkSpec, StepFigure
from edgefer_export.report.content import (
    BudgetCheck,
    CalibrationReport,
    EngineSummary,
    EvaluationReport,
    GraphLayer,
    Report,
    StepReport,
    TensorRange,
    count_layers,
    step_report,
)

LABELS = ("neutral", "happy", "surprised", "sad", "angry")
PER_CLASS = 401


@pytest.fixture
def sample_report() -> Report:
    """A fused INT8 build that passes."""
    return make_report()


def make_report() -> Report:
    """What `sample_report` gives."""
    layers = _layers()
    return Report(
        title="viri-fusion, INT8",
        verdict="pass",
        reason="INT8 loses 0.10 points of accuracy (interval -0.18 to 0.38), within the 0.50 allowed.",
        created="2026-03-14T09:26:53Z",
        command=(
            "edgefer",
            "build-engine",
            "viri-fusion",
            "--weights",
            "fusion best.pt",
            "--calibration",
            "synthetic:512:7",
            "--evaluation",
            "synthetic:2005:8",
            "--precision",
            "int8",
            "-o",
            "fusion.edgefer",
        ),
        network=NetworkSpec(
            name="viri-fusion", options={"width": "1.0", "size": "224"}, parameters=23_142_533, source="fusion best.pt"
        ),
        precision="int8",
        labels=LABELS,
        inputs=(
            InputSpec(
                name="visible",
                role="visible",
                shape=(1, 3, 224, 224),
                image=ImageSpec(colour="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), band="visible"),
            ),
            InputSpec(
                name="infrared", role="infrared", shape=(1, 3, 224, 224), image=ImageSpec(colour="grey", band="lwir")
            ),
        ),
        checks=(
            BudgetCheck(
                measure="accuracy", unit="points", value=0.0998, low=-0.1763, high=0.3759, limit=0.5, verdict="pass"
            ),
            BudgetCheck(
                measure="mean recall", unit="points", value=0.0998, low=-0.1763, high=0.3759, limit=0.5, verdict="pass"
            ),
            BudgetCheck(
                measure="recall of sad",
                unit="points",
                value=0.4988,
                low=-0.4102,
                high=1.4077,
                limit=1.5,
                verdict="pass",
                note="the class that loses most",
            ),
            BudgetCheck(
                measure="agreement", unit="share", value=0.99102, low=0.98588, high=0.99431, limit=0.97, verdict="pass"
            ),
        ),
        steps=_steps(),
        calibration=CalibrationReport(
            source="synthetic:512:7",
            digest="3f" * 32,
            count=512,
            method="percentile",
            percentile=99.99,
            ranges=_ranges(),
        ),
        evaluation=EvaluationReport(
            source="synthetic:2005:8", digest="a7" * 32, count=2005, class_counts=(PER_CLASS,) * 5
        ),
        layers=layers,
        layer_counts=count_layers(layers),
        engine=EngineSummary(
            flavour="tensorrt_rtx",
            version="1.7.0.23",
            target="RTX-class GPUs, compute capability 8.0 and later",
            layers={"int8": 46, "fp32": 17},
            layer_count=63,
            reformats=9,
            bytes=24_811_116,
            seconds=11.8342,
            path="/home/user/.cache/edgefer/engines/5e1f0c.plan",
            trtexec="tensorrt_rtx --onnx=fusion.onnx --saveEngine=fusion.plan",
            notes=("Built, not run: this machine has no GPU that could run it. It is not for a Jetson.",),
        ),
        sizes={
            "checkpoint": 92_725_114,
            "ONNX, FP32": 92_660_532,
            "ONNX, INT8": 23_611_007,
            "bundle": 43_019_876,
            "engine": 24_811_116,
        },
        seconds={
            "load": 0.4127,
            "export": 6.3071,
            "simplify": 4.9214,
            "quantise": 18.2255,
            "judge": 22.8713,
            "compile": 11.8342,
        },
        digests={"checkpoint": "0d" * 32, "ONNX, FP32": "c4" * 32, "ONNX, INT8": "9b" * 32},
        environment={
            "edgefer": "0.1.0",
            "Python": "3.12.4",
            "PyTorch": "2.13.0",
            "onnx": "1.23.0",
            "onnxruntime": "1.31.0",
            "platform": "Linux x86_64",
        },
        notes=("The evaluation data is synthetic: the figures say what the build lost and nothing about people.",),
    )


def _steps() -> tuple[StepReport, ...]:
    reference = _confusion(wrong=28)
    quantised = _confusion(wrong=28, extra=2)
    described = (
        ("PyTorch FP32", reference, 1.0, 0.0, None, 92_725_114, ()),
        ("ONNX FP32", reference, 1.0, 3.4122e-06, 6.3071, 92_660_532, ()),
        ("simplified ONNX", reference, 1.0, 3.4122e-06, 4.9214, 92_660_532, ("onnxsim removed 14 nodes of 152.",)),
        ("INT8 ONNX", quantised, 0.99102, 0.083419, 18.2255, 23_611_007, ()),
    )
    return tuple(
        step_report(
            _figure(name, confusion, agreement, error), confusion.tolist(), seconds=seconds, size=size, notes=notes
        )
        for name, confusion, agreement, error, seconds, size, notes in described
    )


def _figure(name: str, confusion: np.ndarray, agreement: float, error: float) -> StepFigure:
    recalls = confusion.diagonal() / confusion.sum(axis=1)
    worst = int(recalls.argmin())
    return StepFigure(
        step=name,
        count=int(confusion.sum()),
        correct=int(confusion.trace()),
        mean_recall=float(recalls.mean()),
        worst_class=LABELS[worst],
        worst_recall=float(recalls[worst]),
        agreement=agreement,
        max_error=error,
    )


def _confusion(wrong: int, extra: int = 0) -> np.ndarray:
    generator = np.random.default_rng(3)
    matrix = np.zeros((5, 5), dtype=int)
    for label in range(5):
        missed = wrong + 9 * label + (extra if label == 3 else 0)
        shares = generator.dirichlet(np.ones(4) * 1.5)
        others = generator.multinomial(wrong + 9 * label, shares)
        others[0] += missed - (wrong + 9 * label)
        matrix[label] = np.insert(others, label, PER_CLASS - missed)
    return matrix


def _layers() -> tuple[GraphLayer, ...]:
    layers: list[GraphLayer] = []
    for trunk in ("visible", "infrared"):
        for index in range(20):
            layers.append(GraphLayer(name=f"/{trunk}/layer{index // 5 + 1}/conv{index}", op="Conv", precision="int8"))
            layers.append(GraphLayer(name=f"/{trunk}/layer{index // 5 + 1}/relu{index}", op="Relu", precision="int8"))
        layers += [GraphLayer(name=f"/{trunk}/add{index}", op="Add", precision="int8") for index in range(8)]
        layers += [GraphLayer(name=f"/{trunk}/add{index}", op="Add", precision="fp32") for index in range(8, 10)]
        layers.append(GraphLayer(name=f"/{trunk}/maxpool", op="MaxPool", precision="int8"))
    layers.append(GraphLayer(name="/fusion", op="GatedFusion", precision="fp32"))
    layers.append(GraphLayer(name="/classifier", op="Gemm", precision="fp32"))
    return tuple(layers)


def _ranges() -> tuple[TensorRange, ...]:
    generator = np.random.default_rng(5)
    ranges = []
    for index in range(68):
        high = float(np.exp(generator.normal(1.2 - abs(index % 34 - 17) / 14, 0.5)))
        low = 0.0 if index % 2 else -high * float(generator.uniform(0.3, 1.1))
        seen = max(high, -low)
        ranges.append(
            TensorRange(
                name=f"/trunk/{index}/output", low=low, high=high, limit=seen * float(generator.uniform(0.45, 1))
            )
        )
    return tuple(ranges)
