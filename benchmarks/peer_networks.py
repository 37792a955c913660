"""Networks to be quantised by two tools: graphs, calibration images and test images, as files.

At full width there are hours of training on a CPU, so the trunk keeps its initial weights with measured batch-norm
statistics, and the last layer is fitted by ridge regression so that answers spread over the classes. It recognises
little: what counts on it is which answers of the FP32 network survive. Right by the label is counted on the same
network in a reduced and trained form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from edgefer.engine.portable import for_parser
from edgefer.progress import Terminal
from edgefer_export.checkpoint import load_weights
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.onnx_export import export_onnx
from edgefer_export.simplify import simplify
from edgefer_export.train import TrainSpec, train

SIZE = 224
STATISTICS, FITTED, CALIBRATION = 64, 200, 64
RIDGE = 1e-2
CHUNK = 16
REDUCED = {"width": "0.25", "size": "64", "norm": "imagenet"}
TRAINING, EPOCHS = "synthetic:6000:1", 16


@dataclass(frozen=True)
class Prepared:
    """The files of one network: the portable graph, the same with its operators inlined, calibration and test images
    by input name (count, C, H, W), and which class is right for each."""

    name: str
    portable: Path
    inlined: Path
    calibration: Path
    right: np.ndarray
    images: dict[str, np.ndarray]


def full_width(name: str, folder: Path, images: int) -> Prepared:
    """The network at full width and 224 x 224; right is what the FP32 network answers.

    `images` are ones that neither fitting nor calibration saw.
    """
    torch.manual_seed(0)
    network = registry.create(name, {"size": str(SIZE)})
    _measure_statistics(network, _drawn(network, STATISTICS, 201)[0])
    _fit_last_layer(network, *_drawn(network, FITTED, 202))
    prepared = _prepared(network, folder, images, f"{name}-full")
    with torch.no_grad():
        answers = [network.module(*chunk).argmax(1) for chunk in _chunks(network, prepared.images)]
    return replace(prepared, right=torch.cat(answers).numpy())


def trained(name: str, folder: Path, images: int, minutes: float) -> Prepared:
    """The network at a quarter of the width and 64 x 64, trained for `minutes`; right is the label."""
    checkpoint = folder / f"{name}.pt"
    if not checkpoint.is_file():
        train(TrainSpec(name, TRAINING, checkpoint, options=REDUCED, epochs=EPOCHS, minutes=minutes), Terminal())
    network = registry.create(name, REDUCED)
    load_weights(network.module, checkpoint)
    return _prepared(network, folder, images, f"{name}-trained")


def _prepared(network: LoadedNetwork, folder: Path, images: int, stem: str) -> Prepared:
    network.module.eval()
    portable, inlined = folder / f"{stem}.onnx", folder / f"{stem}-inlined.onnx"
    data = simplify(export_onnx(network).model).model.SerializeToString()
    portable.write_bytes(data)
    # The peer knows neither functions nor the domain; both tools get the same simplified graph.
    inlined.write_bytes(for_parser(data))
    onnx.checker.check_model(str(inlined))
    calibration = folder / f"{stem}-calibration.npz"
    np.savez(calibration, **_drawn(network, CALIBRATION, 203)[0])
    tensors, labels = _drawn(network, images, 204)
    return Prepared(stem, portable, inlined, calibration, labels, tensors)


def _drawn(network: LoadedNetwork, count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    feeds = Feeds(open_dataset(f"synthetic:{count}:{seed}", labels=network.labels), network.inputs)
    examples = list(feeds.examples())
    tensors = {spec.name: np.concatenate([each.tensors[spec.name] for each in examples]) for spec in network.inputs}
    return tensors, np.array([each.record.label for each in examples])


def _chunks(network: LoadedNetwork, tensors: dict[str, np.ndarray]) -> Any:
    count = len(tensors[network.inputs[0].name])
    for start in range(0, count, CHUNK):
        yield tuple(torch.from_numpy(tensors[spec.name][start : start + CHUNK]) for spec in network.inputs)


def _measure_statistics(network: LoadedNetwork, tensors: dict[str, np.ndarray]) -> None:
    for module in network.module.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over all chunks
    network.module.train()
    with torch.no_grad():
        for chunk in _chunks(network, tensors):
            network.module(*chunk)
    network.module.eval()


def _fit_last_layer(network: LoadedNetwork, tensors: dict[str, np.ndarray], labels: np.ndarray) -> None:
    last = [module for module in network.module.modules() if isinstance(module, nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    with torch.no_grad():
        for chunk in _chunks(network, tensors):
            network.module(*chunk)
    hook.remove()
    features = torch.cat(seen).double()
    centre, spread = features.mean(0), features.std(0) + 1e-6
    design = (features - centre) / spread
    targets = torch.nn.functional.one_hot(torch.from_numpy(labels), len(network.labels)).double()
    offset = targets.mean(0)
    gram = design.T @ design + RIDGE * len(design) * torch.eye(design.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, design.T @ (targets - offset))
    with torch.no_grad():
        last.weight.copy_((weights / spread[:, None]).T)
        last.bias.copy_(offset - (centre / spread) @ weights)
