"""Starting a network from one of torchvision's classifiers, such as those trained on ImageNet."""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import UsageError
from edgefer_export.checkpoint import StartsFromClassifier, load_trunk
from edgefer_export.networks.registry import LoadedNetwork
from edgefer_export.networks.resnet import ResNetTrunk
from edgefer_export.networks.vgg import VggTrunk


def load_trunks(network: LoadedNetwork, path: Path) -> None:
    """Give every ResNet and VGG trunk of the network, or the network itself where it is one of torchvision's but for
    its last layers, the weights of a classifier with torchvision's names.

    Raises:
        UsageError: the network has nothing that such a classifier fits.
        CheckpointError: the file cannot be read, or is of another architecture or size.
    """
    module = network.module
    if isinstance(module, StartsFromClassifier):
        load_trunk(module, path)
        return
    trunks = [each for each in module.modules() if isinstance(each, ResNetTrunk | VggTrunk)]
    if not trunks:
        raise UsageError(f"{network.name} has no ResNet or VGG trunk to start from {path}", hint="give weights instead")
    for trunk in trunks:
        load_trunk(trunk, path)
