"""Settings of a training that do nothing for its network."""

from __future__ import annotations

from edgefer.errors import UsageError
from edgefer.progress import Reporter
from edgefer_export.networks.registry import LoadedNetwork
from edgefer_export.train.objective import OwnObjective
from edgefer_export.train.spec import TrainSpec


def check_effects(spec: TrainSpec, network: LoadedNetwork, reporter: Reporter) -> None:
    """Refuse what is for two cameras where there is one; note a smoothing of labels that no loss looks at.

    Raises:
        UsageError: modality_dropout or apart for a network that does not take two cameras.
    """
    cameras = {each.role for each in network.inputs} & {"visible", "infrared"}
    for name in ("modality_dropout", "apart"):
        if getattr(spec, name) and len(cameras) < 2:
            raise UsageError(
                f"{name} is for networks of two cameras, and {network.name} takes "
                f"{' and '.join(each.name for each in network.inputs)}",
                hint=f"leave {name} out",
            )
    if spec.label_smoothing and isinstance(network.module, OwnObjective):
        reporter.note(
            f"label_smoothing={spec.label_smoothing:g} does nothing: {network.name} says its own objective, which has "
            "no such term."
        )
