"""Exporting full-width `viri-fusion` to ONNX with the proof that it computes the same, beside `torch.onnx.export`.

    python -m pytest benchmarks/test_bench_export.py -s

The proof runs a float64 copy of the network and the graph on fresh random input; the bare export proves nothing.
"""

from __future__ import annotations

import io
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import torch

from benchmarks.interleaved import in_turn
from benchmarks.note import note
from benchmarks.steps import network, traced
from edgefer_export.networks import registry
from edgefer_export.onnx_export import export_onnx

ROUNDS = 3


def test_export(benchmark: Any) -> None:
    inputs = network().inputs
    samples = tuple(torch.zeros(spec.shape) for spec in inputs)

    def bare() -> None:
        torch.onnx.export(
            traced(),
            samples,
            io.BytesIO(),
            opset_version=19,
            dynamo=False,
            input_names=[spec.name for spec in inputs],
            output_names=["logits"],
        )

    # The first export of a process imports half of torch.
    torch.onnx.export(torch.nn.ReLU(), (torch.zeros(1),), io.BytesIO(), opset_version=19, dynamo=False)
    export_onnx(registry.create("viri-visible", {"width": "0.125", "size": "64"}))
    pair = in_turn(benchmark, lambda: export_onnx(network()), bare, ROUNDS)
    note(benchmark, pair, "torch.onnx.export without a check")
