"""What compiling a graph gave: the plan's facts, layer by layer, as a typed record that travels beside the plan."""

from __future__ import annotations

import msgspec

from edgefer.engine.attention_check import AttentionCheck
from edgefer.engine.decision import PluginDecision
from edgefer.engine.layers import LayerCounts, LayerReport
from edgefer.engine.workspace import Workspace


class TensorReport(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of the network as the parser saw it; a dimension of -1 is chosen by the profile."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class TimingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the timing cache: bytes that the build began with, bytes that it left, and what went wrong."""

    before_bytes: int
    after_bytes: int
    notes: tuple[str, ...] = ()


class EngineReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was built, from what, by what, for what, in how long.

    `targets` are compute capabilities such as "8.7", or the builder's own default set. `seconds` is per stage (import,
    portable, parse, build, and total, which includes starting the process). Counts and layers cover all profiles.
    `parsed_sha256` is of the ONNX that the parser was given, after functions were inlined or stripped. `note` says
    what an engine of this flavour is not good for. `plugins` are the operators (`domain::name`) that plugins compute in
    it, and `decision` says why these and no others; `fused_attention` how its self-attention was compiled.
    `workspace_bytes` is the limit that was asked for and `workspace` what the builder was given; `timing_cache` is
    None where TensorRT builds without one.
    """

    flavour: str
    version: str
    note: str
    targets: tuple[str, ...]
    platform: str
    batches: tuple[int, ...]
    dynamic: bool
    workspace_bytes: int
    plugins: tuple[str, ...]
    parsed_sha256: str
    plan_sha256: str
    plan_bytes: int
    seconds: dict[str, float]
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    layers: tuple[LayerReport, ...]
    counts: LayerCounts
    unparsed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    log_tail: str = ""
    decision: PluginDecision | None = None
    fused_attention: AttentionCheck | None = None
    workspace: Workspace | None = None
    timing_cache: TimingReport | None = None
