"""All entries by name: what the binaries hold and what launch plans ask for."""

from __future__ import annotations

from itertools import chain

from edgefer.kernels import cbam, channel_gate, gated_fusion, gated_pool, local_gate, preprocess
from edgefer.kernels.plan import Entry

_OPERATIONS = (cbam, channel_gate, gated_pool, gated_fusion, local_gate, preprocess)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in chain(*(each.ENTRIES for each in _OPERATIONS))}
