"""Which of the binaries that edgefer ships this GPU and its driver take, each tried with one case of each operation."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from benchmarks.gpu_check.catalogue import OPERATIONS, module_of, one_for_each_entry
from benchmarks.gpu_check.correctness import fault_of, part_of
from benchmarks.gpu_check.gpu import Gpu
from benchmarks.gpu_check.result import Check, Part
from edgefer.errors import EdgeferError
from edgefer.kernels import cubins
from edgefer.kernels.cubins import Binary
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import Kernels


def binaries_part(gpu: Gpu, folder: Path = cubins.FOLDER) -> Part:
    """One check for each binary. What is chosen for this GPU must load and compute; so must PTX that is for it. Others
    are no fault where they do not load, and what happens is told."""
    listed = cubins.index(folder)
    checks = [_check(gpu, binary, folder) for binary in listed.binaries]
    part = part_of(checks)
    return msgspec.structs.replace(part, details={"chosen": gpu.device.binary, "driver": gpu.device.driver})


def _check(gpu: Gpu, binary: Binary, folder: Path) -> Check:
    name = f"{binary.file} ({binary.text}, made with CUDA {binary.toolkit})"
    wanted = gpu.kernels.gpu.compute_capability
    with tempfile.TemporaryDirectory(prefix="edgefer-binary-") as alone:
        only = cubins.Index(source_sha256=cubins.index(folder).source_sha256, binaries=(binary,))
        (Path(alone) / cubins.INDEX).write_bytes(msgspec.json.encode(only))
        (Path(alone) / binary.file).write_bytes((folder / binary.file).read_bytes())
        try:
            cubins.choose(wanted, only)
        except EdgeferError:
            return Check(name=name, state="absent", found=f"not for a GPU of compute capability {wanted}")
        try:
            return _tried(gpu.driver, gpu.kernels.device, Path(alone), name)
        except EdgeferError as error:
            return Check(name=name, state="failed", found=str(error))


def _tried(driver: Driver, device: int, folder: Path, name: str) -> Check:
    kernels = Kernels(device, driver=driver, folder=folder)
    try:
        count = 0
        for operation in OPERATIONS:
            module, _ = module_of(operation)
            if module is None:
                continue
            case = next(iter(one_for_each_entry(module.base_cases(kernels.gpu)).values()))
            fault, _ = fault_of(kernels, case)
            if fault:
                return Check(name=name, state="failed", found=f"it loads, and {case.name} is wrong: {fault}")
            count += 1
    finally:
        kernels.close()
    return Check(name=name, state="passed", found=f"it loads and computes {count} cases")
