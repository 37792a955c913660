"""What the NETWORK argument of `build-engine` stands for. The one place that tells its kinds apart."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from edgefer.errors import UsageError

NetworkKind = Literal["registered", "file", "onnx", "bundle"]


def classify(text: str) -> NetworkKind:
    """Tell a registered name, a `FILE.py:FACTORY`, an ONNX file and a bundle apart.

    A registered name is not looked up here: that needs the `export` extra, which a device does not have.

    Raises:
        UsageError: the text is a file that edgefer does not take, or a path at which there is nothing.
    """
    if not text:
        raise UsageError("The network is an empty name.", hint="List the names with: edgefer networks")
    file, colon, factory = text.rpartition(":")
    if colon and file.endswith(".py"):
        if not factory.isidentifier():
            raise UsageError(f"`{factory}` in {text} is not the name of a function.", hint="Write FILE.py:FACTORY.")
        if not Path(file).is_file():
            raise UsageError(f"The file {file} of {text} does not exist.")
        return "file"
    path = Path(text)
    if path.suffix == ".py":
        raise UsageError(f"{text} does not say which function returns the network.", hint=f"Write {text}:FACTORY.")
    if path.suffix == ".onnx":
        if not path.exists():
            raise UsageError(f"There is no file {text}.", hint="Check the path.")
        return "onnx"
    if path.suffix in (".pt", ".pth", ".ckpt", ".safetensors"):
        raise UsageError(
            f"{text} is a checkpoint, which holds weights but no network.",
            hint=f"Name the network and give the file as --weights {text}.",
        )
    if path.is_file():
        if path.suffix == ".edgefer" or zipfile.is_zipfile(path):
            return "bundle"
        raise UsageError(f"{text} is neither a bundle nor a Python file.")
    if path.suffix == ".edgefer" or len(path.parts) > 1:
        raise UsageError(f"There is no file {text}.", hint="List the registered networks with: edgefer networks")
    return "registered"
