"""What the tests of serving share: a reader of Triton's configurations that knows its schema, bundles of one camera,
and a stand-in for the module that Triton gives to Python models."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import (
    BudgetSpec,
    GateSpec,
    GoldenSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    Provenance,
)

# Names and types of fields, of the messages that a repository uses, as the schema has them:
# https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto. A `*` marks repeated fields.
SCHEMA: dict[str, dict[str, str]] = {
    "ModelConfig": {
        "name": "string",
        "platform": "string",
        "backend": "string",
        "max_batch_size": "int",
        "input": "ModelInput*",
        "output": "ModelOutput*",
        "dynamic_batching": "ModelDynamicBatching",
        "ensemble_scheduling": "ModelEnsembling",
        "instance_group": "ModelInstanceGroup*",
        "default_model_filename": "string",
        "model_warmup": "ModelWarmup*",
    },
    "ModelInput": {
        "name": "string",
        "data_type": "DataType",
        "dims": "int*",
        "reshape": "ModelTensorReshape",
        "optional": "bool",
    },
    "ModelOutput": {
        "name": "string",
        "data_type": "DataType",
        "dims": "int*",
        "reshape": "ModelTensorReshape",
        "label_filename": "string",
    },
    "ModelTensorReshape": {"shape": "int*"},
    "ModelDynamicBatching": {"preferred_batch_size": "int*", "max_queue_delay_microseconds": "int"},
    "ModelInstanceGroup": {"name": "string", "kind": "Kind", "count": "int", "gpus": "int*", "profile": "string*"},
    "ModelEnsembling": {"step": "Step*"},
    "Step": {
        "model_name": "string",
        "model_version": "int",
        "input_map": "StringEntry*",
        "output_map": "StringEntry*",
    },
    "StringEntry": {"key": "string", "value": "string"},
    "ModelWarmup": {"name": "string", "batch_size": "int", "inputs": "WarmupEntry*", "count": "int"},
    "WarmupEntry": {"key": "string", "value": "WarmupInput"},
    "WarmupInput": {
        "data_type": "DataType",
        "dims": "int*",
        "zero_data": "bool",
        "random_data": "bool",
        "input_data_file": "string",
    },
}
ENUMERATIONS = {
    "DataType": {
        *("TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8", "TYPE_INT16"),
        *("TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16"),
    },
    "Kind": {"KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"},
}
_TOKEN = re.compile(r'\s+|(?P<token>"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|-?\d+|[:{}\[\],])')


class Config:
    """A message that was read: fields as attributes, repeated ones as lists, those that are not there as None or []."""

    def __init__(self, message: str, values: dict[str, Any]) -> None:
        self.message, self.values = message, values

    def __getattr__(self, name: str) -> Any:
        declared = SCHEMA[self.message][name]
        return self.values.get(name, [] if declared.endswith("*") else None)


def parse(text: str) -> Config:
    """A configuration in the text format; ValueError where it is not one, or not one that the schema knows."""
    tokens, place = [], 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"no token at {text[place : place + 40]!r}")
        place = found.end()
        if found["token"] is not None:
            tokens.append(found["token"])
    message = _message("ModelConfig", tokens)
    if tokens:
        raise ValueError(f"more than a message: {tokens[:5]}")
    return message


def _message(kind: str, tokens: list[str]) -> Config:
    values: dict[str, Any] = {}
    while tokens and tokens[0] != "}":
        name = tokens.pop(0)
        if name not in SCHEMA[kind]:
            raise ValueError(f"{kind} has no field {name}")
        declared = SCHEMA[kind][name]
        repeated, of = declared.endswith("*"), declared.rstrip("*")
        if of in SCHEMA:
            if tokens[0] == ":":
                tokens.pop(0)
            if tokens.pop(0) != "{":
                raise ValueError(f"{kind}.{name} is a message")
            found: list[Any] = [_message(of, tokens)]
            tokens.pop(0)
        else:
            if tokens.pop(0) != ":":
                raise ValueError(f"{kind}.{name} lacks its colon")
            found = _scalars(f"{kind}.{name}", of, repeated, tokens)
        if repeated:
            values.setdefault(name, []).extend(found)
        elif name in values or len(found) != 1:
            raise ValueError(f"{kind}.{name} is there more than once")
        else:
            values[name] = found[0]
    return Config(kind, values)


def _scalars(where: str, of: str, repeated: bool, tokens: list[str]) -> list[Any]:
    if tokens[0] != "[":
        return [_scalar(where, of, tokens.pop(0))]
    if not repeated:
        raise ValueError(f"{where} is not repeated")
    tokens.pop(0)
    found = []
    while tokens[0] != "]":
        found.append(_scalar(where, of, tokens.pop(0)))
        if tokens[0] == ",":
            tokens.pop(0)
    tokens.pop(0)
    return found


def _scalar(where: str, of: str, token: str) -> Any:
    if of == "string" and token.startswith('"'):
        return re.sub(rb"\\(\d{3}|.)", _unescaped, token[1:-1].encode()).decode()
    if of == "int" and re.fullmatch(r"-?\d+", token):
        return int(token)
    if of == "bool" and token in ("true", "false"):
        return token == "true"
    if token in ENUMERATIONS.get(of, ()):
        return token
    raise ValueError(f"{where} is {token}, which is no {of}")


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code, 8)]) if code.isdigit() else {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(code, code)


@pytest.fixture(scope="session")
def read_config() -> Callable[[Path], Config]:
    """`read_config(folder)`: the configuration of the model in a folder, held against the schema."""
    return lambda folder: parse((folder / "config.pbtxt").read_text(encoding="ascii"))


@pytest.fixture(scope="session")
def parse_config() -> Callable[[str], Config]:
    """`parse_config(text)`: a configuration; ValueError where the schema does not know it."""
    return parse


@pytest.fixture(scope="session")
def config_schema() -> dict[str, dict[str, str]]:
    """The messages of the schema: types by field."""
    return SCHEMA


def single_onnx(batch: int | str, channels: int, *, size: int = 8, classes: int = 3, function: bool = False) -> bytes:
    """logits = W mean(gain relu(image)) + b, with a function of domain edgefer for the gain if asked for."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(3)
    weights = {
        "W": generator.standard_normal((classes, channels)).astype(np.float32),
        "b": generator.standard_normal(classes).astype(np.float32),
        "gain": np.array(2.0, np.float32),
    }
    gain = helper.make_node("Gain" if function else "Mul", ["r", "gain"], ["g"], domain="edgefer" if function else "")
    nodes = [
        helper.make_node("Relu", ["image"], ["r"]),
        gain,
        helper.make_node("GlobalAveragePool", ["g"], ["p"]),
        helper.make_node("Flatten", ["p"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "W", "b"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "single",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, size, size])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, channels]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = helper.make_opsetid("", 19)
    functions = []
    if function:
        body = [helper.make_node("Mul", ["X", "g"], ["Y"])]
        functions.append(helper.make_function("edgefer", "Gain", ["X", "g"], ["Y"], body, [opset]))
    imports = [opset, helper.make_opsetid("edgefer", 1)] if function else [opset]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, functions=functions)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def single_bundle() -> Callable[..., Bundle]:
    """`single_bundle(channels=3, batches=(1,), image=ImageSpec(...), **more)`: a network of one camera."""

    def make(
        *,
        channels: int = 3,
        batches: tuple[int, ...] = (1,),
        image: ImageSpec | None = None,
        role: str = "visible",
        outputs: tuple[str, ...] = ("logits", "embedding"),
        function: bool = False,
        **manifest: Any,
    ) -> Bundle:
        smallest = min(batches)
        free = len(batches) > 1
        members = {"graphs/visible.onnx": single_onnx("batch" if free else smallest, channels, function=function)}
        roles = {"logits": "logits" if "logits" in outputs else "other", "embedding": "other"}
        graph = GraphSpec(
            role="visible",
            member="graphs/visible.onnx",
            inputs=(
                InputSpec(
                    name="image",
                    role=role,  # type: ignore[arg-type]
                    shape=(smallest, channels, 8, 8),
                    image=image if image is not None else ImageSpec(colour="rgb" if channels == 3 else "grey"),
                ),
            ),
            outputs=tuple(
                OutputSpec(name=name, role=roles[name], shape=(smallest, 3 if name == "logits" else channels))
                for name in ("logits", "embedding")
            ),
            batches=batches,
        )
        members |= manifest.pop("members", {})
        golden = np.random.default_rng(5).random((2, channels, 8, 8), np.float32)
        members["golden/image.npy"] = encode_array(golden)
        whole = Manifest(
            network=NetworkSpec(name="single"),
            graphs=(graph,),
            gate=GateSpec(verdict="numeric", reason="no data", budget=BudgetSpec()),
            provenance=Provenance(created="2026-11-22T02:00:00Z"),
            golden=GoldenSpec(count=2, inputs={"image": "golden/image.npy"}, reference={}, expected={}, tolerance=1e-4),
            **{"labels": ("calm", "tense", "drowsy"), "precision": "fp32", **manifest},
        )
        return Bundle.from_members(whole, members)

    return make


class Backend(ModuleType):
    """`triton_python_backend_utils`, as far as the README of triton-inference-server/python_backend describes it."""

    class Tensor:
        def __init__(self, name: str, array: Any) -> None:
            self._name, self._array = name, array

        def name(self) -> str:
            return self._name

        def as_numpy(self) -> Any:
            return self._array

    class TritonError:
        def __init__(self, message: str) -> None:
            self.text = message

        def message(self) -> str:
            return self.text

    class InferenceResponse:
        def __init__(self, output_tensors: list[Any], error: Any = None) -> None:
            self.outputs = {tensor.name(): tensor.as_numpy() for tensor in output_tensors}
            self.error = None if error is None else error.message()

    @staticmethod
    def get_input_tensor_by_name(request: SimpleNamespace, name: str) -> Any:
        """The tensor of a request, None where it has none of that name."""
        found = request.tensors.get(name)
        return None if found is None else Backend.Tensor(name, found)


@pytest.fixture
def run_model(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """`run_model(folder, *requests)`: the responses of the Python model in a folder to requests of arrays by name."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", Backend("triton_python_backend_utils"))

    def run(folder: Path, *requests: dict[str, Any]) -> list[Any]:
        place = folder / "1" / "model.py"
        spec = importlib.util.spec_from_file_location(f"model_of_{folder.name}", place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.TritonPythonModel()
        model.initialize({"model_name": folder.name, "model_version": "1"})
        return list(model.execute([SimpleNamespace(tensors=each) for each in requests]))

    return run
