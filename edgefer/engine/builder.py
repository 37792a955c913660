"""The conversation with TensorRT: parse, set profiles, build, and collect what it says. Runs in the worker only.

Every network is strongly typed: the types are those of the ONNX (FP16 as casts, INT8 as Q/DQ), which is the one path
that every release takes. Every call of TensorRT that may return nothing is checked, because an engine of None surfaces
far away otherwise.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgefer.engine.flavours import Flavour
from edgefer.engine.layers import HEADER
from edgefer.engine.report import TensorReport
from edgefer.errors import CompileError
from edgefer.stopwatch import timed

_DTYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "UINT8": "uint8", "BOOL": "bool"}
_KEPT_LINES = 200
_KEPT_WARNINGS = 50


@dataclass
class BuildLog:
    """What TensorRT said: the last lines, the warnings, the errors and the last description of the layers."""

    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    layers: str = ""

    def add(self, severity: str, message: str) -> None:
        if message.startswith(HEADER):
            self.layers = message
            return
        if severity == "VERBOSE":
            return
        line = f"[{severity}] {message}"
        self.tail.append(line)
        # Also to the log file at once: after an abort it is all that is left.
        print(line, file=sys.stderr, flush=True)
        if severity == "WARNING" and message not in self.warnings and len(self.warnings) < _KEPT_WARNINGS:
            self.warnings.append(message)
        if severity in ("ERROR", "INTERNAL_ERROR"):
            self.errors.append(message)

    def text(self) -> str:
        return "\n".join(self.tail)


@dataclass(frozen=True)
class Built:
    """A serialised plan with what is known about its network. `seconds` has the stages parse and build."""

    plan: bytes
    inputs: tuple[TensorReport, ...]
    outputs: tuple[TensorReport, ...]
    dynamic: bool
    seconds: dict[str, float]


class Attachment(Protocol):
    """Something that takes part in a build: a timing cache, or whoever watches its progress. It raises nothing."""

    def attach(self, trt: Any, config: Any) -> None:
        """Before the build, with its configuration whole."""

    def collect(self, trt: Any, config: Any) -> None:
        """After a build that gave a plan, while the builder is still there."""


def build(
    flavour: Flavour,
    onnx: bytes,
    batches: tuple[int, ...],
    workspace_bytes: int,
    log: BuildLog,
    attachments: Sequence[Attachment] = (),
) -> Built:
    """Parse `onnx` and build a plan with one profile per batch where its batch is dynamic.

    Raises:
        CompileError: the parser refuses nodes (each is named), a shape other than the batch is dynamic, the batch is
            fixed at another size, or the builder gives no plan.
    """
    trt = flavour.module
    seconds: dict[str, float] = {}
    with timed(seconds, "parse"):
        begun = start(flavour, log)
        if not begun.parser.parse(onnx):
            raise _refused(begun.parser, log)
    builder, network = begun.builder, begun.network
    inputs = tuple(_tensor(network.get_input(index)) for index in range(network.num_inputs))
    outputs = tuple(_tensor(network.get_output(index)) for index in range(network.num_outputs))
    if not outputs:
        raise CompileError("the graph has no outputs for TensorRT", hint="check the graph", details=log.text())

    config = _given(builder.create_builder_config(), "a builder configuration", log)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if hasattr(trt, "BuilderFlag"):
        # TensorRT would multiply FP32 in TF32, which keeps ten bits of each factor: further from the bundle's answers
        # than its tolerance for FP32 allows. What is to be fast is FP16 or INT8 by the graph's own types.
        config.clear_flag(trt.BuilderFlag.TF32)
    if hasattr(trt, "MemoryPoolType") and hasattr(config, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    for shapes in profile_shapes(inputs, batches):
        profile = _given(builder.create_optimization_profile(), "an optimisation profile", log)
        for name, shape in shapes.items():
            profile.set_shape(name, shape, shape, shape)
        if config.add_optimization_profile(profile) < 0:
            raise CompileError(f"TensorRT refused the profile {shapes}", hint="try another batch", details=log.text())
    for each in attachments:
        each.attach(trt, config)
    with timed(seconds, "build"):
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            reason = log.errors[-1] if log.errors else "no reason was logged"
            raise CompileError(
                f"TensorRT built no engine: {reason}",
                hint=_hint_of_no_engine(reason, workspace_bytes),
                details=log.text(),
            )
        data = bytes(plan)
    for each in attachments:
        each.collect(trt, config)
    dynamic = any(-1 in each.shape for each in inputs)
    return Built(plan=data, inputs=inputs, outputs=outputs, dynamic=dynamic, seconds=seconds)


@dataclass(frozen=True)
class Conversation:
    """A parser with what has to stay alive as long as it does."""

    parser: Any
    network: Any
    builder: Any
    logger: Any


def start(flavour: Flavour, log: BuildLog) -> Conversation:
    """A parser that writes to an empty, strongly typed network.

    Raises:
        CompileError: TensorRT gave none, for want of a GPU for instance.
    """
    trt = flavour.module
    logger = logger_for(trt, log)
    builder = _given(_constructed(trt.Builder, logger, log), "a builder", log)
    network = _given(builder.create_network(flavour.network_flags), "a network", log)
    parser = _given(trt.OnnxParser(network, logger), "a parser", log)
    return Conversation(parser, network, builder, logger)


def profile_shapes(inputs: tuple[TensorReport, ...], batches: tuple[int, ...]) -> list[dict[str, tuple[int, ...]]]:
    """For each batch the shape of every input whose batch is dynamic; nothing for a graph of fixed batch.

    Raises:
        CompileError: a dimension other than the first is dynamic, or the batch is fixed at another size than asked.
    """
    for each in inputs:
        if -1 in each.shape[1:]:
            raise CompileError(
                f"input {each.name} has shape {list(each.shape)}: only its batch may be dynamic",
                hint="export the network with a fixed image size",
            )
    dynamic = [each for each in inputs if each.shape[:1] == (-1,)]
    if dynamic:
        return [{each.name: (batch, *each.shape[1:]) for each in dynamic} for batch in batches]
    fixed = {each.shape[0] for each in inputs if each.shape}
    if len(fixed) == 1 and set(batches) != fixed:
        raise CompileError(
            f"the graph's batch is fixed at {fixed.pop()}, asked for {', '.join(map(str, batches))}",
            hint="build the bundle with --batch for each batch that is needed",
        )
    return []


def logger_for(trt: Any, log: BuildLog) -> Any:
    """A logger of TensorRT that writes to `log`."""

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log.add(str(severity).rsplit(".", 1)[-1], message)

    return Collector()


def _constructed(builder: Any, logger: Any, log: BuildLog) -> Any:
    try:
        return builder(logger)
    except TypeError as error:  # what the bindings make of a constructor that returned a null pointer
        raise CompileError(
            f"TensorRT gave no builder: {log.errors[-1] if log.errors else error}",
            hint="edgefer doctor says what this machine lacks",
            details=log.text(),
        ) from error


def _given(value: Any, what: str, log: BuildLog) -> Any:
    if value is None:
        raise CompileError(f"TensorRT gave no {what.split(' ', 1)[1]}", hint="see the log", details=log.text())
    return value


def _hint_of_no_engine(reason: str, workspace_bytes: int) -> str:
    if "workspace" in reason.lower():
        return (
            f"the builder had {workspace_bytes} bytes of scratch memory: --workspace gives it more (1GiB is usual); a "
            "GPU that shares the host's memory gives half of what is free"
        )
    return "the log tells which layer; --exclude can keep a layer out of quantisation"


def _refused(parser: Any, log: BuildLog) -> CompileError:
    lines = [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
    first = lines[0] if lines else (log.errors[-1] if log.errors else "no reason was given")
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return CompileError(
        f"TensorRT's parser refused the graph: {first}{more}",
        hint="the node is named above; leave its operator out of the network, or out of quantisation with --exclude",
        details="\n".join([*lines, *log.tail]),
    )


def _parser_error(error: Any) -> str:
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    name = error.node_name() if hasattr(error, "node_name") else ""
    return f"node {error.node()} {name!r} ({operator or 'unknown operator'}): {error.desc()}"


def _tensor(tensor: Any) -> TensorReport:
    name = str(tensor.dtype).rsplit(".", 1)[-1]
    return TensorReport(
        name=tensor.name, shape=tuple(int(size) for size in tensor.shape), dtype=_DTYPES.get(name, name.lower())
    )
