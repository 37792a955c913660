"""The registered networks as bundles to measure: full width, random weights, batch norms that have seen faces.

Latency does not depend on the values of weights, except where activations vanish or overflow: the running statistics
of the batch norms are therefore those of synthetic pairs, so that every layer has ordinary values and INT8 ordinary
ranges. No verdict is taken; the golden inputs have their answers.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt
import torch
from torch import nn

from edgefer.bundle.arrays import decode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import BudgetSpec, GateSpec, Precision
from edgefer.numeric_error import relative_error
from edgefer.progress import Silent
from edgefer_export import assemble
from edgefer_export.data import open_dataset
from edgefer_export.data.feeds import Feeds
from edgefer_export.golden import Golden, answer, golden_inputs
from edgefer_export.networks import registry
from edgefer_export.networks.forward import forward
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.runners import graph_function, network_function
from edgefer_export.spec import BuildSpec
from edgefer_export.steps import make_graphs

NETWORKS = ("viri-visible", "viri-infrared", "viri-fusion", "cbam-early-fusion")
CALIBRATION = "synthetic:16:3"
_NORM_PAIRS = "synthetic:16:5"


def bundle(name: str, precision: Precision, folder: Path, options: dict[str, str] | None = None) -> Bundle:
    """The bundle of a registered network, made on first use and kept in `folder`."""
    chosen = options or {}
    stem = "-".join([name, precision, *(f"{key}{value}" for key, value in sorted(chosen.items()))])
    path = folder / f"{stem}.edgefer"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _made(name, precision, chosen).write(path)
    return Bundle.read(path)


def _made(name: str, precision: Precision, options: dict[str, str]) -> Bundle:
    torch.manual_seed(0)
    network = registry.create(name, options)
    _settle_norms(network)
    spec = BuildSpec(
        network=name,
        output=Path("unused.edgefer"),
        precision=precision,
        calibration=CALIBRATION,
        evaluation="synthetic:16:4",
        options=options,
    )
    feeds = Feeds(open_dataset(CALIBRATION), network.inputs)
    graphs = make_graphs(network, feeds, spec, Silent())
    golden = answer(
        network,
        golden_inputs(network, None),
        (network_function(network), graph_function(graphs.final.model)),
        precision,
        synthetic=True,
    )
    golden = _with_wider_tolerance(golden)
    list(feeds)
    return assemble.assemble(
        network,
        graphs,
        spec,
        GateSpec(verdict="not-run", reason="made for measuring", budget=BudgetSpec()),
        golden=golden,
        calibration=assemble.calibration_spec(spec, feeds) if spec.quantises else None,
        sources={},
        members={},
    )


def _with_wider_tolerance(golden: Golden) -> Golden:
    """Random weights pass on the rounding of an early layer undiminished, where trained ones mostly forget it: what
    integer kernels may differ is held to what quantising changed, so that they are measured as for a trained one."""
    errors = (
        relative_error(_stored(golden, golden.spec.expected[name]), _stored(golden, reference))
        for name, reference in golden.spec.reference.items()
    )
    tolerance = max(golden.spec.tolerance, *errors)
    return replace(golden, spec=msgspec.structs.replace(golden.spec, tolerance=tolerance))


def _stored(golden: Golden, member: str) -> npt.NDArray[Any]:
    return decode_array(golden.members[member], member)


def _settle_norms(network: LoadedNetwork) -> None:
    """Give every batch norm the statistics of synthetic pairs, and leave the network ready to answer."""
    feeds = list(itertools.islice(Feeds(open_dataset(_NORM_PAIRS), network.inputs), 16))
    batch = {spec.name: torch.cat([torch.from_numpy(each[spec.name]) for each in feeds]) for spec in network.inputs}
    network.module.eval()
    norms = [m for m in network.module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms:
        # Without momentum the statistics are the plain mean over the batches seen: here one.
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        forward(network.module, batch)
    network.module.eval()
