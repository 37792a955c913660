"""Saliency maps for data sets: computed from each sample's visible image, as a session computes them from a frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import CheckpointError, UsageError
from edgefer.progress import Reporter, Silent
from edgefer.runtime.saliency_map import MapMaker, SaliencyMap, whole
from edgefer_export.checkpoint import CheckpointReport, load_weights, read_metadata
from edgefer_export.data.dataset import Dataset, Image, Sample
from edgefer_export.data.with_maps import ROLE, WithMaps, with_known_maps
from edgefer_export.networks import registry
from edgefer_export.networks.loaded import LoadedNetwork
from edgefer_export.networks.network import Outputs, Tensors
from edgefer_export.runners import network_function

NETWORK = "ml-net"

MAPS_LIMIT = 256 << 20
"""Bytes of maps that a data set keeps; what is beyond is made again at every reading."""


class WithSaliency(WithMaps):
    """A data set whose samples have the map of their visible image that a network makes: uint16 codes, 65535 for 1. A
    map is made when its sample is first read, and kept as small as the network gives it.

    Args:
        dataset: what to add maps to, with visible images.
        maker: makes the map of an image.
        room: bytes of maps to keep; 0 where every sample is read once.
    """

    def __init__(self, dataset: Dataset, maker: MapMaker, *, room: int = MAPS_LIMIT) -> None:
        self._maker = maker
        self._maps: dict[int, SaliencyMap] = {}
        self._room = room
        self._lock = threading.Lock()
        super().__init__(dataset, self._map)

    def _map(self, index: int, sample: Sample) -> Image:
        image = sample.images["visible"]
        found = self._maps.get(index)
        if found is None:
            found = self._maker(image)
            # Samples are read ahead by several threads.
            with self._lock:
                if index not in self._maps and self._room >= found.values.nbytes:
                    self._room -= found.values.nbytes
                    self._maps[index] = found
        frame = whole(image)
        return found.on(frame, frame)


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


def with_maps_for(
    network: LoadedNetwork, dataset: Dataset, checkpoint: Path | None, reporter: Reporter | None = None
) -> Dataset:
    """The data set with the maps that a training of `network` needs: as input those of the ML-Net in `checkpoint`, as
    target those that the data comes with. A data set that has maps keeps them where no checkpoint is given.

    Raises:
        UsageError: a checkpoint is given for a network that takes no map, or none for one that needs maps that the data
            has not.
        CheckpointError: as `load_saliency_network`.
        DataError: there are no maps to learn from, or no visible images to make them of.
    """
    if checkpoint is not None:
        if takes_map(network.inputs) is None:
            raise UsageError(
                f"{network.name} takes no saliency map, so `--saliency {checkpoint}` cannot apply.",
                hint="Networks such as saliency-alexnet take one, with --option saliency=true.",
            )
        return with_saliency(dataset, checkpoint, reporter=reporter)
    if any(spec.role == ROLE for spec in network.targets):
        return with_known_maps(dataset)
    if takes_map(network.inputs) is not None and ROLE not in dataset.roles:
        raise UsageError(
            f"{network.name} takes a saliency map of each face, and {dataset.source} has none.",
            hint="Add --saliency CHECKPOINT of ml-net, or train without maps: --option saliency=false.",
        )
    return dataset
