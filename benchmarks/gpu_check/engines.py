"""Whether TensorRT and TensorRT-RTX run here, and engines with and without edgefer's plugins side by side.

A network with CBAM in every block is built and compiled both ways, in a child process for each TensorRT. The engines
answer the same golden inputs, their outputs are compared, and replays of their graphs are timed in turn
(`edgefer.engine.race`). Where the C++ library is built, engines are also loaded across (`across`).

    python -m benchmarks.gpu_check.engines FOLDER tensorrt
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gpu_check.across import across, library
from benchmarks.gpu_check.correctness import part_of
from benchmarks.gpu_check.result import Check, Part
from edgefer.atomic import write_bytes
from edgefer.bundle.container import Bundle
from edgefer.engine import child
from edgefer.engine.bundle_engine import compile_bundle
from edgefer.engine.cache import EngineCache
from edgefer.engine.decision import PluginDecision
from edgefer.engine.flavours import FLAVOURS, FlavourName, load
from edgefer.errors import DeviceError, EdgeferError, EnvironmentMismatch, PluginMissing
from edgefer.progress import Silent

NETWORK = "cbam-early-fusion"
CHILD = (sys.executable, "-m", "benchmarks.gpu_check.engines")
TIMEOUT_SECONDS = 3600.0
_ANSWER = "answer.json"
_TAIL = 2000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a child found: its checks, and how both ways compared."""

    checks: tuple[Check, ...]
    decision: PluginDecision | None = None


def engines_part(command: Sequence[str] = CHILD) -> Part:
    """One check for each TensorRT; both times and the differences of outputs are in the details."""
    answers = {flavour: _asked(command, flavour) for flavour in FLAVOURS}
    part = part_of([check for answer in answers.values() for check in answer.checks])
    details: dict[str, Any] = {
        flavour: msgspec.to_builtins(answer.decision)
        for flavour, answer in answers.items()
        if answer.decision is not None
    }
    return msgspec.structs.replace(part, details=details)


def _asked(command: Sequence[str], flavour: FlavourName) -> Answer:
    with child.private_folder("edgefer-engines-") as name:
        folder = Path(name)
        try:
            code = child.run(
                [*command, name, flavour], folder, task=flavour, timeout=TIMEOUT_SECONDS, reporter=Silent()
            )
        except subprocess.TimeoutExpired:
            return _failed(flavour, f"no end within {TIMEOUT_SECONDS:g} s")
        answer = folder / _ANSWER
        if code == 0 and answer.exists():
            return msgspec.json.decode(answer.read_bytes(), type=Answer)
        said = child.tail(folder).strip()[-_TAIL:]
        return _failed(flavour, f"it ended with status {code}: {said}")


def answer_of(folder: Path, flavour: FlavourName) -> Answer:
    """Build the network and race both ways, where they can be had."""
    try:
        load(flavour)
        bundle = _bundle(folder)
        result = compile_bundle(bundle, flavour, plugins="auto", cache=EngineCache(folder / "cache"))
        decision = result.graphs[0].report.decision
        checks = [judged(flavour, decision)]
        if decision is not None and decision.race is not None:
            checks.append(across(bundle, flavour, library()))
    except (DeviceError, PluginMissing) as error:  # there is a GPU, and it has kernels: the check was begun with both
        return _failed(flavour, str(error))
    except (EnvironmentMismatch, ImportError) as error:
        return Answer(checks=(Check(name=flavour, state="absent", found=str(error)),))
    except EdgeferError as error:
        return _failed(flavour, str(error))
    return Answer(checks=tuple(checks), decision=decision)


def judged(flavour: FlavourName, decision: PluginDecision | None) -> Check:
    """Passed where both engines answer right; which one is faster is no fault of either."""
    if decision is None:
        return Check(name=flavour, state="failed", found="the engine was compiled without a decision on plugins")
    race = decision.race
    if race is None:
        return Check(name=flavour, state="absent", found=f"engines were not timed: {decision.reason}")
    if race.plugin.problem or race.inline.problem or not (race.plugin.right and race.inline.right):
        return Check(name=flavour, state="failed", found=decision.reason)
    return Check(name=flavour, state="passed", found=decision.reason)


def _bundle(folder: Path) -> Bundle:
    """The network with random weights, and golden answers of it."""
    from edgefer_export.build import build
    from edgefer_export.spec import BuildSpec

    path = folder / "network.edgefer"
    build(BuildSpec(network=NETWORK, output=path, precision="fp16", flavour="none"))
    return Bundle.read(path)


def _failed(flavour: FlavourName, found: str) -> Answer:
    return Answer(checks=(Check(name=flavour, state="failed", found=found),))


def main(arguments: Sequence[str]) -> int:
    folder, flavour = Path(arguments[0]), FLAVOURS[FLAVOURS.index(arguments[1])]
    write_bytes(folder / _ANSWER, msgspec.json.encode(answer_of(folder, flavour)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
