"""A graph from a file or from bytes, with weights that lie in other files folded in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefer.bundle.recognise import recognise
from edgefer.errors import EnvironmentMismatch, InputError

MAX_BYTES = 2**31 - 1
"""What a protobuf message can hold, and a parser that takes bytes with it."""


@dataclass(frozen=True)
class Graph:
    """A model, its bytes with all weights, and the names of the files that some of them came from."""

    model: Any
    data: bytes
    external: tuple[str, ...] = ()


def read_graph(source: bytes | str | os.PathLike[str]) -> Graph:
    """Read a model. Weights in other files are looked for beside a file, and nowhere else.

    Raises:
        EnvironmentMismatch: `onnx` is not installed.
        InputError: there is no such file, it is empty or is something else than an ONNX model, it refers to weights
            that are missing, short or outside its folder, or is larger than a parser takes.
    """
    try:
        import onnx
    except ImportError as error:
        raise EnvironmentMismatch(
            "reading a graph needs the package onnx, which cannot be imported",
            hint="pip install 'edgefer[device]'",
            details=str(error),
        ) from error
    from google.protobuf.message import DecodeError

    folder = None if isinstance(source, bytes) else Path(source).parent
    where = "" if isinstance(source, bytes) else f"{os.fspath(source)}: "
    data = source if isinstance(source, bytes) else _bytes(Path(source))
    if not data:
        raise InputError(f"{where}the file is empty, an ONNX model is expected", hint="copy or download it again")
    known = recognise(data[:512])
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise _no_model(where, known) from error
    if not model.HasField("graph") or not (model.ir_version or model.opset_import):
        raise _no_model(where, known)
    external = _fold_in(model, folder, where)
    if not external:
        return Graph(model, data)
    if model.ByteSize() > MAX_BYTES:
        raise InputError(
            f"{where}the model has {model.ByteSize()} bytes with its weights, more than {MAX_BYTES}",
            hint="TensorRT can read such a model from its files only, which edgefer does not do",
        )
    return Graph(model, model.SerializeToString(deterministic=True), external)


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait for a writer
            raise InputError(f"{path} is not a file", hint="name the .onnx file itself")
        if path.exists() and path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has more than {MAX_BYTES} bytes", hint="keep the weights in a file of their own")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", hint="check the path") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", hint="check its owner and mode"
        ) from error


def _no_model(where: str, known: tuple[str, str] | None) -> InputError:
    if known is None:
        return InputError(f"{where}a zip file, an ONNX model is expected", hint="name a bundle or the .onnx file")
    found, hint = known
    if found == "an ONNX model" or found.startswith("neither"):
        return InputError(
            f"{where}this cannot be read as an ONNX model", hint="export it again, or copy it again if it was cut short"
        )
    return InputError(f"{where}this is {found}, an ONNX model is expected", hint=hint)


def _fold_in(model: Any, folder: Path | None, where: str) -> tuple[str, ...]:
    """Load every tensor that lies in another file into the model; the names of those files."""
    from onnx import external_data_helper

    files: dict[str, None] = {}
    for tensor in _external(model):
        info = external_data_helper.ExternalDataInfo(tensor)
        files[info.location] = None
        content = _external_bytes(tensor.name, info, folder, where)
        tensor.raw_data = content
        del tensor.external_data[:]
        tensor.data_location = 0
    return tuple(files)


def _external_bytes(name: str, info: Any, folder: Path | None, where: str) -> bytes:
    if folder is None:
        raise InputError(
            f"{where}the weights {name!r} lie in the file {info.location!r}, which bytes alone cannot lead to",
            hint="hand in the path of the .onnx file",
        )
    path: Path = folder / info.location
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{where}the weights {name!r} are said to lie in {info.location!r}, outside the folder of the model",
            hint="do not use this file, or put the weights beside it and export again",
        )
    if not path.is_file():
        raise InputError(
            f"{where}the weights {name!r} lie in {info.location!r}, and there is no such file in {folder}",
            hint=f"copy {info.location} beside the model, or export it with the weights inside",
        )
    offset, size = info.offset or 0, path.stat().st_size
    length = size - offset if info.length is None else info.length
    if offset < 0 or length < 0 or offset + length > size:
        raise InputError(
            f"{where}the weights {name!r} lie at bytes {offset} to {offset + length} of {info.location!r}, "
            f"which has {size}",
            hint="the file is cut short or of another model; copy it again",
        )
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _external(model: Any) -> Iterator[Any]:
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        tensors = [] if not hasattr(graph, "initializer") else list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                tensors += [attribute.t, *attribute.tensors]
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs.extend(attribute.graphs)
        yield from (tensor for tensor in tensors if tensor.data_location == 1)
