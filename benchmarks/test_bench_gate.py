"""Judging the steps of full-width `viri-fusion` on image files, beside plain loops of OpenCV, PyTorch and onnxruntime.

    python -m pytest benchmarks/test_bench_gate.py -s

Both answer with the FP32 network and the graphs of all three steps, from the same files. The one with Q/DQ is evaluated
as it is written, the others with onnxruntime's defaults. What ours adds is the digests of all images, the comparisons
image by image, and the verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("cv2")
pytest.importorskip("onnxruntime")

import onnxruntime
import torch

from benchmarks.interleaved import in_turn
from benchmarks.note import note
from benchmarks.pictures import plain_pairs, write_pairs
from benchmarks.steps import exported, int8, network, simplified
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.evaluate import Batched, LogitsFunction, evaluate
from edgefer_export.gate import judge
from edgefer_export.runners import graph_function, logits_of, network_function

PAIRS = 16
ROUNDS = 4


def test_gate(benchmark: Any, tmp_path: Path) -> None:
    folder, labels = write_pairs(tmp_path, PAIRS), network().labels
    models = {"exported": exported(), "simplified": simplified(), "int8": int8()}
    judged: list[dict[str, int]] = []

    def ours() -> None:
        feeds = Feeds(open_dataset(str(folder), "pairs", labels=labels), network().inputs)
        runners: dict[str, LogitsFunction | Batched] = {"torch": Batched(logits_of(network_function(network())))}
        runners |= {name: logits_of(graph_function(model)) for name, model in models.items()}
        found = evaluate(feeds, runners, concurrency=2)
        gate = judge(found.logits["torch"], {name: found.logits[name] for name in models}, found.labels, labels)
        judged.append({figure.step: figure.correct or 0 for figure in gate.steps[1:]})

    def bare() -> None:
        module = network().module.eval()
        literal = onnxruntime.SessionOptions()
        literal.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        sessions = {
            name: onnxruntime.InferenceSession(
                model.SerializeToString(), literal if name == "int8" else None, providers=["CPUExecutionProvider"]
            )
            for name, model in models.items()
        }
        right = dict.fromkeys(("torch", *models), 0)
        for tensors, label in plain_pairs(folder, labels):
            with torch.inference_mode():
                logits = module(*(torch.from_numpy(tensors[spec.name]) for spec in network().inputs)).numpy()
            right["torch"] += int(logits.argmax()) == label
            for name, session in sessions.items():
                right[name] += int(np.argmax(session.run(["logits"], tensors)[0])) == label
        judged.append({name: right[name] for name in models})

    pair = in_turn(benchmark, ours, bare, ROUNDS)
    assert all(counts == judged[0] for counts in judged), judged
    note(benchmark, pair, "plain loops, without a verdict", pairs=PAIRS)
