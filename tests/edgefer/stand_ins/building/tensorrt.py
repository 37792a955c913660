"""Stands for the module tensorrt in a child process that compiles: on its PYTHONPATH this is what it imports.

A "build" times every node of the graph that its timing cache does not hold yet, and the plan says which those were.
What STAND_IN_TENSORRT holds (JSON) changes its ways:

    device      what the cache's own header says it was made on
    hold        {stage: file}: at that stage write the file and wait for ever, so that a test can kill the process
    pause       {stage: file}: at that stage write FILE.reached and wait until the file is there
    die         the stage at which the process dies of a signal
    refuse      the stages at which nothing, or False, is given
    seconds     of a build
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx

__version__ = "10.3.0"

_WAYS = json.loads(os.environ.get("STAND_IN_TENSORRT", "{}"))
_TYPES = {onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF", onnx.TensorProto.INT8: "INT8"}

ProfilingVerbosity = SimpleNamespace(DETAILED=2)
MemoryPoolType = SimpleNamespace(WORKSPACE=0)
NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)


def _at(stage: str) -> bool:
    """Do what a test wants at this stage; whether to go on as usual."""
    if stage in _WAYS.get("hold", {}):
        Path(_WAYS["hold"][stage]).write_text(str(os.getpid()))
        time.sleep(120)
    if stage in _WAYS.get("pause", {}):
        path = Path(_WAYS["pause"][stage])
        Path(f"{path}.reached").write_text("")
        while not path.exists():
            time.sleep(0.02)
    if _WAYS.get("die") == stage:
        os.kill(os.getpid(), signal.SIGSEGV)
    return stage not in _WAYS.get("refuse", [])


class ILogger:
    def log(self, severity: Any, message: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    pass


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        held = json.loads(data) if data else {"device": _WAYS.get("device", "Orin"), "times": {}}
        self.device: str = held["device"]
        self.times: dict[str, float] = held["times"]

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if not _at("combine") or (input_cache.device != self.device and not ignore_mismatch):
            return False
        self.times = {**input_cache.times, **self.times}
        return True

    def serialize(self) -> bytes | None:
        if not _at("serialize"):
            return None
        return json.dumps({"device": self.device, "times": self.times}, sort_keys=True).encode()


class Config:
    def __init__(self) -> None:
        self.profiling_verbosity = 0
        self.progress_monitor: Any = None
        self.workspace = 0
        self.profiles: list[Any] = []
        self.timing: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: int, pool_size: int) -> None:
        self.workspace = pool_size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        if not _at("create"):
            return None
        try:
            return ITimingCache(serialized_timing_cache)
        except (ValueError, KeyError):
            return None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if not _at("set") or (cache.device != _WAYS.get("device", "Orin") and not ignore_mismatch):
            return False
        self.timing = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self.timing


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> Any:
        return SimpleNamespace(model=None, num_inputs=0, num_outputs=0)

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda name, least, usual, most: None)

    def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
        _at("build")
        nodes = [node.op_type for node in network.model.graph.node]
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building engine", None, 2)
            monitor.phase_start("Timing graph nodes", "Building engine", len(nodes))
        known = {} if config.timing is None else config.timing.times
        timed = [name for name in dict.fromkeys(nodes) if name not in known]
        for index, name in enumerate(nodes):
            known.setdefault(name, 1.0)
            time.sleep(_WAYS.get("seconds", 0.0) / len(nodes))
            if monitor is not None:
                monitor.step_complete("Timing graph nodes", index)
        if monitor is not None:
            monitor.phase_finish("Timing graph nodes")
            monitor.step_complete("Building engine", 0)
            monitor.step_complete("Building engine", 1)
            monitor.phase_finish("Building engine")
        _at("built")
        return json.dumps({"timed": timed, "workspace": config.workspace}).encode()


class OnnxParser:
    num_errors = 0

    def __init__(self, network: Any, logger: ILogger) -> None:
        self.network = network

    def parse(self, model: bytes) -> bool:
        self.network.model = onnx.ModelProto.FromString(model)
        graph = self.network.model.graph
        inputs, outputs = [_tensor(each) for each in graph.input], [_tensor(each) for each in graph.output]
        self.network.num_inputs, self.network.num_outputs = len(inputs), len(outputs)
        self.network.get_input, self.network.get_output = inputs.__getitem__, outputs.__getitem__
        return True


def _tensor(value: Any) -> Any:
    kind = value.type.tensor_type
    shape = [each.dim_value if each.HasField("dim_value") else -1 for each in kind.shape.dim]
    return SimpleNamespace(name=value.name, shape=shape, dtype=f"DataType.{_TYPES[kind.elem_type]}")
