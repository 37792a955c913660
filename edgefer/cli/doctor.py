"""`edgefer doctor`: what this machine can do, and what is missing for what it cannot."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgefer.cli.options import reporter
from edgefer.cli.output import Outcome, facts, table

if TYPE_CHECKING:
    from edgefer.environment import Environment, Package, TensorRt

DESCRIPTION = """\
Look at this machine: Python, CUDA driver and GPU, TensorRT and whether its release is known to be bad, onnxruntime,
OpenCV, pycuda; and for each verb what is missing. Ends with 0 whatever is found."""
EXAMPLE = "edgefer doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments of its own."""


def run(arguments: argparse.Namespace) -> Outcome:
    from edgefer.environment import examine

    with reporter(arguments).task("looking at this machine"):
        environment = examine()
    return Outcome(payload=environment, text=_text(environment))


def _text(environment: Environment) -> str:
    packages = [[package.name, _package(package)] for package in environment.packages]
    verbs = [["to do", "", "what is missing, and how to get it"]]
    verbs += [
        [need.verb, "no" if need.missing else "yes", f"{', '.join(need.missing)}: {need.hint}" if need.missing else ""]
        for need in environment.needs
    ]
    return "\n\n".join([facts(_machine(environment)), table([["package", "version"], *packages]), table(verbs)])


def _machine(environment: Environment) -> list[tuple[str, str]]:
    driver = environment.driver
    pairs = [
        ("edgefer", environment.edgefer),
        ("Python", f"{environment.python}, {environment.executable}"),
        ("system", f"{environment.system} {environment.machine}, {environment.cpus} CPUs, {_memory(environment)}"),
    ]
    if environment.tegra is not None:
        jetpack = f", JetPack {environment.tegra.jetpack}" if environment.tegra.jetpack else ""
        pairs.append(("Jetson", f"L4T {environment.tegra.l4t}{jetpack}"))
    pairs.append(("CUDA driver", driver.version or driver.problem))
    pairs += [("GPU", f"{gpu.name}, compute capability {gpu.compute_capability}") for gpu in driver.gpus]
    if not driver.gpus:
        pairs.append(("GPU", "none"))
    for flavour in environment.tensorrt:
        pairs.append((flavour.name, _tensorrt(flavour)))
        pairs += [("", f"known to be bad: {each.text()}") for each in flavour.known_bad]
    pairs.append(("kernels", environment.kernels.problem or ", ".join(environment.kernels.binaries) or "none"))
    pairs += [("", each) for each in environment.kernels.taken]
    return pairs


def _package(package: Package) -> str:
    if not package.installed:
        return "missing"
    found = package.version or "installed"
    return f"{found}, but it cannot be imported: {package.problem}" if package.problem else found


def _tensorrt(flavour: TensorRt) -> str:
    if not flavour.installed:
        return f"not installed; {flavour.hint}"
    if not flavour.imports:
        return f"{flavour.version or 'installed'}, but it cannot be imported: {flavour.problem}"
    return f"{flavour.version}{f' ({flavour.note})' if flavour.note else ''}"


def _memory(environment: Environment) -> str:
    if environment.memory_bytes is None:
        return "memory unknown"
    total = f"{environment.memory_bytes / 1e9:.1f} GB of memory"
    if environment.memory_available_bytes is None:
        return total
    return f"{total}, {environment.memory_available_bytes / 1e9:.1f} GB free"
