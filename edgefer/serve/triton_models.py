"""The configurations of a repository's models: network, pre-processing, answer, and the ensemble that joins them.

Fields are those of the message `ModelConfig` in triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.serve.pbtxt import Message, Value, Word
from edgefer.serve.tensors import ANSWERS, Batching, Tensor

Fields = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Model:
    """One model of the repository: its name and what goes in and out."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def config(self, head: Fields, batching: Batching, tail: Fields = ()) -> Message:
        """The configuration with these fields in front of the tensors and behind them."""
        return (
            ("name", self.name),
            *head,
            ("max_batch_size", batching.most),
            *(("input", tensor.message()) for tensor in self.inputs),
            *(("output", tensor.message()) for tensor in self.outputs),
            *tail,
        )


def onnx_network(model: Model, batching: Batching, warmup: Message) -> Message:
    """The network as ONNX. Requests that come together are joined where its batch is free."""
    head: Fields = (("backend", "onnxruntime"), ("default_model_filename", "model.onnx"))
    joined: Fields = (("dynamic_batching", ()),) if batching.most > 1 else ()
    return model.config(head, batching, (*joined, *warmup))


def plan_network(model: Model, batching: Batching, profiles: int, warmup: Message) -> Message:
    """The network as a TensorRT engine. Its profiles are of one batch size each, so requests are never joined: a sum of
    sizes would seldom be one of them."""
    head: Fields = (
        ("platform", "tensorrt_plan"),
        ("backend", "tensorrt"),
        ("default_model_filename", "model.plan"),
    )
    group: Fields = (("kind", Word("KIND_GPU")),)
    if profiles > 1:
        group = (*group, ("profile", [str(index) for index in range(profiles)]))
    return model.config(head, batching, (("instance_group", group), *warmup))


def python_model(model: Model, batching: Batching, warmup: Message = ()) -> Message:
    """A model of the Python backend, on the CPU."""
    group: Fields = (("kind", Word("KIND_CPU")), ("count", 1))
    return model.config((("backend", "python"),), batching, (("instance_group", group), *warmup))


@dataclass(frozen=True)
class Step:
    """A model within an ensemble: its tensors by the names that the ensemble has for them."""

    model: Model
    inputs: dict[str, str]
    outputs: dict[str, str]

    def message(self) -> Message:
        """The entry of the ensemble's schedule."""
        return (
            ("model_name", self.model.name),
            ("model_version", -1),
            *(("input_map", (("key", name), ("value", outside))) for name, outside in self.inputs.items()),
            *(("output_map", (("key", name), ("value", outside))) for name, outside in self.outputs.items()),
        )


def ensemble(model: Model, batching: Batching, steps: tuple[Step, ...]) -> Message:
    """The models in a row."""
    schedule: Fields = tuple(("step", step.message()) for step in steps)
    return model.config((("platform", "ensemble"),), batching, (("ensemble_scheduling", schedule),))


def outside_name(name: str) -> str:
    """What clients call a tensor that the network takes as it is: its own name, unless another of theirs has it."""
    return f"input.{name}" if name in (*ANSWERS, "visible", "infrared", "present") else name
