"""Saliency maps for data sets: computed from each sample's visible image, as a session computes them from a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import CheckpointError, DataError
from edgefer.progress import Reporter, Silent
from edgefer.runtime.saliency_map import MapMaker, SaliencyMap, whole
from edgefer_export.checkpoint import CheckpointReport, load_weights, read_metadata
from edgefer_export.data.dataset import Dataset, Sample
from edgefer_export.data.splits import targets_and_subjects
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.networks.network import Outputs, Tensors
from edgefer_export.runners import network_function

ROLE = "saliency"
NETWORK = "ml-net"


class WithSaliency:
    """A data set whose samples also have the map of their visible image, under the role `saliency`: uint16 codes
    (H, W) of the image's size, 65535 for 1. The map replaces one that the samples have.

    A map is made when its sample is first read, and kept as small as the graph gives it.

    Raises:
        DataError: the samples have no visible image.
    """

    def __init__(self, dataset: Dataset, maker: MapMaker) -> None:
        if "visible" not in dataset.roles:
            raise DataError(
                f"{dataset.source} has only {' and '.join(dataset.roles)} images; saliency maps are made from visible "
                "ones",
                hint="use data with visible images",
            )
        self._dataset, self._maker = dataset, maker
        self._maps: dict[int, SaliencyMap] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self._dataset.labels

    @property
    def source(self) -> str:
        """That of the data set."""
        return self._dataset.source

    @property
    def roles(self) -> tuple[str, ...]:
        """Those of the data set and `saliency`."""
        return (*(role for role in self._dataset.roles if role != ROLE), ROLE)

    @property
    def targets(self) -> tuple[int, ...]:
        """The label of each sample."""
        return targets_and_subjects(self._dataset)[0]

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The person in each sample, where known."""
        return targets_and_subjects(self._dataset)[1]

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        image = sample.images["visible"]
        found = self._maps.get(index)
        if found is None:
            found = self._maps[index] = self._maker(image)
        frame = whole(image)
        return replace(sample, images={**sample.images, ROLE: found.on(frame, frame)})


def load_saliency_network(
    path: Path, options: Mapping[str, str] | None = None, *, reporter: Reporter | None = None
) -> tuple[LoadedNetwork, CheckpointReport]:
    """ML-Net from a checkpoint, in evaluation mode. `options` go before those in the checkpoint; another size brings
    its prior to its own grid.

    Raises:
        CheckpointError: the file cannot be read, or is of another network.
        UsageError: ml-net does not have an option, or not that value.
    """
    metadata = read_metadata(path)
    if metadata is not None and metadata.network != NETWORK:
        raise CheckpointError(
            f"{path} holds the weights of {metadata.network}; saliency maps are made by {NETWORK}",
            hint=f"train one with `edgefer train {NETWORK}`",
        )
    trained = metadata.options if metadata is not None else {}
    with torch.random.fork_rng(devices=[]):
        network = registry.create(NETWORK, {**trained, **(options or {})})
    loaded = load_weights(network.module, path)
    network.module.eval()
    for note in loaded.notes:
        (reporter or Silent()).note(note)
    return network, loaded


def map_maker(network: LoadedNetwork, run: Callable[[Tensors], Outputs] | None = None) -> MapMaker:
    """What makes maps with a network, or with one of its graphs as `run`."""
    (spec,) = network.inputs
    return MapMaker(spec, ROLE, run or network_function(network))


def with_saliency(dataset: Dataset, checkpoint: Path, *, reporter: Reporter | None = None) -> Dataset:
    """A data set whose samples have saliency maps, computed by the ML-Net in `checkpoint`.

    Raises:
        CheckpointError: as `load_saliency_network`.
        DataError: the samples have no visible image.
    """
    return WithSaliency(dataset, map_maker(load_saliency_network(checkpoint, reporter=reporter)[0]))


def takes_map(inputs: tuple[InputSpec, ...]) -> InputSpec | None:
    """The input that takes a saliency map, where there is one."""
    return next((spec for spec in inputs if spec.role == ROLE), None)
