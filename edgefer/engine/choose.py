"""Plugins or standard operators for one graph on one machine: what was asked for, or what is known to be faster."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import GraphSpec, PluginPolicy, Precision
from edgefer.engine.choice_table import ChoiceTable, choice_table
from edgefer.engine.decision import ASKED, NO_OPERATOR, POLICIES, Way
from edgefer.engine.driver import CudaDriver
from edgefer.engine.flavours import Flavour
from edgefer.errors import UsageError


@dataclass(frozen=True)
class Choice:
    """`way` is how the graph is compiled, None where both ways are built and timed here; `reason` says why."""

    asked: PluginPolicy
    way: Way | None
    reason: str


def choose(
    asked: PluginPolicy,
    graph: GraphSpec,
    precision: Precision,
    flavour: Flavour,
    driver: CudaDriver,
    *,
    judge: str = "",
    table: ChoiceTable | None = None,
) -> Choice:
    """How the operators of domain `edgefer` in a graph are compiled.

    Args:
        asked: the policy.
        graph: what the manifest says of it.
        precision: of the bundle.
        flavour: the TensorRT that compiles.
        driver: the GPUs of this machine.
        judge: why answers cannot be judged here, so that nothing may be timed; empty where they can.
        table: what was measured before; that of edgefer by default.
    """
    if not graph.operators:
        return Choice(asked, "inline", NO_OPERATOR)
    if asked != "auto":
        return Choice(asked, asked, ASKED)
    if driver.gpus and not judge:
        return Choice(asked, None, "both ways are built and timed on this GPU")
    here = judge if driver.gpus else "there is no GPU here to time both ways on"
    way, told = (choice_table() if table is None else table).way(_targets(flavour, driver), graph.operators, precision)
    return Choice(asked, way or "inline", f"{here}, and {told}")


def _targets(flavour: Flavour, driver: CudaDriver) -> tuple[str, ...]:
    """The compute capabilities that an engine has to be good for: this GPU's, or all that one is compiled ahead for."""
    if driver.gpus:
        return (driver.gpus[0].compute_capability,)
    numbers = [name.removeprefix("SM") for name in flavour.module.ComputeCapability.__members__]
    return tuple(f"{number[:-1]}.{number[-1]}" for number in numbers if number.isdecimal())


def policy_of(bundle: Bundle, asked: str | None) -> PluginPolicy:
    """What was asked for, or what the host decided and wrote into the manifest.

    Raises:
        UsageError: it is none of the policies.
    """
    if asked is None:
        return bundle.manifest.plugin_policy
    if asked not in POLICIES:
        raise UsageError(f"--plugins is {asked!r}, expected one of {', '.join(POLICIES)}")
    return POLICIES[POLICIES.index(asked)]
