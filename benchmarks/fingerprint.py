"""Which machine a result is of: ratios of different machines are never compared.

The CPU's model, how many of its cores this process may use, and the GPU. Not the host's name: a machine that is rented
anew has another, and a name says nothing to a reader.
"""

from __future__ import annotations

import re

import msgspec

from edgefer.benchmark.machine import describe
from edgefer.benchmark.result import Machine


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What makes two machines the same to a benchmark. `gpu` is None without one."""

    cpu: str
    cpus: int
    gpu: str | None = None

    @property
    def slug(self) -> str:
        """A readable file name: `intel-xeon-gold-6338-2-cpus`, `arm-cortex-a78ae-12-cpus-orin`."""
        words = f"{self.cpu} {self.cpus} cpus {self.gpu or ''}"
        # Trademark signs, the clock ("@ 2.00GHz") and words that every name has tell nothing apart.
        words = re.sub(
            r"\((?:r|tm|c)\)|@ [\d.]+ ?[gm]hz|\b(?:cpu|processor|with radeon.*graphics)\b", " ", words.lower()
        )
        return re.sub(r"[^a-z0-9]+", "-", words).strip("-")

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cpus} cores, {self.gpu or 'no GPU'}"


def fingerprint(machine: Machine | None = None) -> Fingerprint:
    """The fingerprint of a machine; of this one where none is given."""
    found = machine or describe()
    return Fingerprint(cpu=found.cpu, cpus=found.cpus, gpu=found.gpu)
