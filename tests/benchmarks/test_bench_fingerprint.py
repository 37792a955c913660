"""The machine a result is of: told apart where ratios differ, named so that people can read it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from benchmarks.fingerprint import Fingerprint, fingerprint
from edgefer.benchmark.result import Machine

MACHINE = Machine(
    cpu="Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
    architecture="x86_64",
    cpus=2,
    cpu_features=("avx2",),
    memory=8 << 30,
    system="Linux 6.8",
    python="3.12.1",
    virtual=None,
    container=False,
)


@pytest.mark.parametrize(
    ("cpu", "cpus", "gpu", "slug"),
    [
        ("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", 2, None, "intel-xeon-gold-6338-2-cpus"),
        ("Intel(R) Xeon(R) Processor", 2, None, "intel-xeon-2-cpus"),
        ("Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", 8, None, "intel-core-i7-1185g7-8-cpus"),
        ("AMD Ryzen 7 5800X 8-Core Processor", 16, "NVIDIA GeForce RTX 3060", None),
        ("Cortex-A78AE", 12, "Orin (nvgpu)", "cortex-a78ae-12-cpus-orin-nvgpu"),
    ],
)
def test_the_name_is_readable(cpu: str, cpus: int, gpu: str | None, slug: str | None) -> None:
    name = Fingerprint(cpu=cpu, cpus=cpus, gpu=gpu).slug
    assert name == (slug or "amd-ryzen-7-5800x-8-core-16-cpus-nvidia-geforce-rtx-3060")
    assert name.replace("-", "").isalnum()


@pytest.mark.parametrize("change", [{"cpu": "AMD EPYC 7763"}, {"cpus": 4}, {"gpu": "NVIDIA L4"}])
def test_another_cpu_number_of_cores_or_gpu_is_another_machine(change: dict[str, Any]) -> None:
    other = msgspec.structs.replace(MACHINE, **change)
    assert fingerprint(other) != fingerprint(MACHINE)
    assert fingerprint(other).slug != fingerprint(MACHINE).slug


def test_what_changes_between_days_does_not_matter() -> None:
    later = msgspec.structs.replace(MACHINE, system="Linux 6.9", python="3.12.9", memory=None, virtual="kvm")
    assert fingerprint(later) == fingerprint(MACHINE)


def test_this_machine_has_one() -> None:
    here = fingerprint()
    assert here.cpus >= 1
    assert here.slug
    assert "cores" in str(here)
