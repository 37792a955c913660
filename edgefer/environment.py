"""What this machine can do, for `edgefer doctor`: found without importing anything heavy and without ever failing.

TensorRT is imported in a child with a time limit, because a broken installation can take the process with it; so is
pycuda where there is a GPU, because it is compiled where it is installed. All other packages are looked up by their
metadata.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import msgspec

from edgefer.engine.driver import CudaDriver, cuda_driver
from edgefer.engine.flavours import FLAVOURS, RTX_NOTE, FlavourName, install_hint
from edgefer.engine.known_bad import KnownBad, known_bad
from edgefer.errors import EdgeferError
from edgefer.kernel_files import memory
from edgefer.kernels import cubins
from edgefer.needs import GPU, PACKAGES, TENSORRT, Need, needs
from edgefer.runtime.gpu.cuda_errors import REBUILD
from edgefer.tegra import RELEASE_FILE, Tegra, tegra
from edgefer.version import __version__

_IMPORT = (
    # The folder that doctor happens to be called in must not lend its files as packages.
    "import sys; sys.path[:] = [each for each in sys.path if each]; "
    "import importlib; print('version', importlib.import_module(sys.argv[1]).__version__)"
)
_IMPORT_PYCUDA = _IMPORT.replace(".__version__", ".get_version()")


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A package by pip's name. `version` is None where it is missing, or came without metadata (`installed` tells);
    `problem` is why it cannot be imported, where that was tried."""

    name: str
    installed: bool
    version: str | None
    problem: str = ""


class TensorRt(msgspec.Struct, frozen=True, kw_only=True):
    """One flavour: whether it is installed and imports, its version, what is known against it, and how to get it."""

    name: str
    installed: bool
    imports: bool
    version: str | None
    problem: str = ""
    known_bad: tuple[KnownBad, ...] = ()
    note: str = ""
    hint: str = ""


class KernelBinaries(msgspec.Struct, frozen=True, kw_only=True):
    """edgefer's own CUDA kernels: the binaries that it brings, for each GPU what it takes, and what is wrong."""

    binaries: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    problem: str = ""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """All that `edgefer doctor` says. Memory is in bytes, None where the system does not tell."""

    edgefer: str
    python: str
    executable: str
    system: str
    machine: str
    cpus: int
    memory_bytes: int | None
    memory_available_bytes: int | None
    tegra: Tegra | None
    driver: CudaDriver
    tensorrt: tuple[TensorRt, ...]
    packages: tuple[Package, ...]
    needs: tuple[Need, ...]
    kernels: KernelBinaries = KernelBinaries()


def examine(
    *, tegra_release: Path = RELEASE_FILE, driver: CudaDriver | None = None, import_timeout: float = 60.0
) -> Environment:
    """Look at this machine. What is missing or broken is part of the answer; nothing is raised for it.

    `driver` is asked for when not given; `import_timeout` is in seconds, for each TensorRT.
    """
    driver = cuda_driver() if driver is None else driver
    flavours = tuple(_flavour(name, import_timeout) for name in FLAVOURS)
    packages = tuple(_package(name, driver, import_timeout) for name in PACKAGES)
    installed = {package.name: package.installed and not package.problem for package in packages}
    installed[TENSORRT] = any(each.imports for each in flavours)
    installed[GPU] = bool(driver.gpus)
    return Environment(
        edgefer=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpus=available_cpus(),
        memory_bytes=memory("MemTotal"),
        memory_available_bytes=memory("MemAvailable"),
        tegra=tegra(tegra_release),
        driver=driver,
        tensorrt=flavours,
        packages=packages,
        needs=needs(installed, lambda: install_hint("tensorrt" if driver.gpus else "tensorrt_rtx")),
        kernels=_kernels(driver),
    )


def _kernels(driver: CudaDriver) -> KernelBinaries:
    try:
        index = cubins.index()
        for binary in index.binaries:
            cubins.read(binary)
    except EdgeferError as error:
        return KernelBinaries(problem=error.message)
    taken = []
    for gpu in driver.gpus:
        try:
            taken.append(f"{gpu.name} takes the {cubins.choose(gpu.compute_capability, index).text}")
        except EdgeferError as error:
            taken.append(f"{gpu.name}: {error.message}")
    return KernelBinaries(binaries=tuple(binary.text for binary in index.binaries), taken=tuple(taken))


def _flavour(name: FlavourName, timeout: float) -> TensorRt:
    hint = install_hint(name)
    if not _importable(name):
        return TensorRt(name=name, installed=False, imports=False, version=None, hint=hint)
    note = RTX_NOTE if name == "tensorrt_rtx" else ""
    version, problem = _imported(name, timeout)
    if version is None:
        version = installed_version((name,))
        return TensorRt(
            name=name, installed=True, imports=False, version=version, problem=problem, note=note, hint=hint
        )
    bad = known_bad(name, version)
    return TensorRt(name=name, installed=True, imports=True, version=version, known_bad=bad, note=note)


def _package(name: str, driver: CudaDriver, timeout: float) -> Package:
    found = look_up(name)
    if name != "pycuda" or not found.installed or not driver.gpus:
        return found  # without a driver pycuda cannot be imported, however well it was compiled
    said, problem = _imported("pycuda.driver", timeout, _IMPORT_PYCUDA)
    return found if said else msgspec.structs.replace(found, problem=f"{problem}; {REBUILD}")


def _imported(name: str, timeout: float, code: str = _IMPORT) -> tuple[str | None, str]:
    """The version that the imported module states, or None with what went wrong."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return None, f"importing it took longer than {timeout:g} s"
    except OSError as error:
        return None, f"no process could be started to import it: {error}"
    if done.returncode < 0:
        return None, f"importing it killed the process: {_signal(-done.returncode)}"
    stated = [line for line in done.stdout.splitlines() if line.startswith("version ")]
    if done.returncode == 0 and stated:
        return stated[-1].removeprefix("version ").strip(), ""
    lines = done.stderr.strip().splitlines()
    return None, lines[-1] if lines else f"importing it ended with status {done.returncode}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def look_up(name: str) -> Package:
    """One package of `needs.PACKAGES` by pip's name, found by its metadata, without importing it."""
    package = PACKAGES[name]
    installed = _importable(package.module)
    return Package(
        name=name, installed=installed, version=installed_version((name, *package.others)) if installed else None
    )


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a module that is loaded without a specification, or a broken finder
        return sys.modules.get(module) is not None


def installed_version(distributions: tuple[str, ...]) -> str | None:
    """The version of the first of `distributions` that is installed; None where none is."""
    for each in distributions:
        try:
            return metadata.version(each)
        except metadata.PackageNotFoundError:
            continue
    return None


def available_cpus() -> int:
    """The CPUs that this process may run on: a container is often given fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
