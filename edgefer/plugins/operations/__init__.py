"""The operators that have plugins, by name."""

from __future__ import annotations

from edgefer.plugins.operations.cbam import CBAM
from edgefer.plugins.operations.channel_gate import CHANNEL_GATE
from edgefer.plugins.operations.description import Operation
from edgefer.plugins.operations.gated_fusion import GATED_FUSION
from edgefer.plugins.operations.gated_pool import GATED_POOL
from edgefer.plugins.operations.local_gate import LOCAL_GATE

OPERATIONS: dict[str, Operation] = {
    each.name: each for each in (CBAM, CHANNEL_GATE, GATED_POOL, GATED_FUSION, LOCAL_GATE)
}
