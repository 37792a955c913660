"""The user's own network, from a function in a file of theirs: `FILE.py:FACTORY`."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from edgefer.bundle.manifest import ImageSpec, InputSpec, Role
from edgefer.errors import ExportError, UsageError
from edgefer_export.networks.family import Band, present_input
from edgefer_export.networks.forward import LOGITS, forward, no_logits
from edgefer_export.networks.loaded import LoadedNetwork, check_labels, class_names
from edgefer_export.networks.options import did_you_mean
from edgefer_export.networks.roles import graph_role, is_infrared
from edgefer_export.spec import ExporterChoice

_SHOWN_FRAMES = 6


def from_file(
    spec: str,
    inputs: Mapping[str, tuple[int, ...]] | tuple[InputSpec, ...],
    labels: tuple[str, ...] | None = None,
    options: Mapping[str, str] | None = None,
    band: Band | None = None,
    *,
    exporter: ExporterChoice = "auto",
) -> LoadedNetwork:
    """The network that the function FACTORY in FILE.py makes.

    The file is run, in a module of its own; what it prints goes to standard error. The factory is called with the
    options, as text, that its signature takes.

    Args:
        spec: `FILE.py:FACTORY`.
        inputs: by the names of `forward`'s parameters, or else in their order; shapes as `input_specs` takes them, or
            whole descriptions.
        labels: in the order of the logits; `class_0`, ... unless given. A network without logits has none.
        band: of the infrared inputs that are given by their shapes.
        exporter: which of torch's exporters to try; `auto` tries both and keeps the smaller graph.

    Raises:
        UsageError: the file or the factory is not there, one of them raises, the factory does not take an option or
            returns something else than an `nn.Module`, or the network does not take the inputs or give the classes.
    """
    path, factory_name = _parts(spec)
    if not inputs:
        raise UsageError(f"{spec} has no inputs", hint="state each as --input NAME=CxHxW")
    specs = input_specs(inputs, band) if isinstance(inputs, Mapping) else inputs
    _check_roles(specs, spec)
    given = dict(options or {})
    with _printing_to_stderr(), _importing_from(path.parent):
        factory = _factory(_run_file(path), path, factory_name)
        module = _made(factory, given, spec)
        _check_types(module, spec)
        classes = _classes(module, specs, spec, needed=labels is not None)
    role, source = graph_role(specs), str(path.resolve())
    if classes is None:
        return LoadedNetwork(module, spec, given, specs, (), role, source, exporter, logits=None)
    chosen = labels if labels is not None else class_names(classes)
    check_labels(chosen)
    if len(chosen) != classes:
        raise UsageError(
            f"{spec} gives {classes} classes, but there are {len(chosen)} labels: {', '.join(chosen)}",
            hint="state the labels in the order of the logits",
        )
    return LoadedNetwork(module, spec, given, specs, chosen, role, source, exporter)


def input_specs(
    shapes: Mapping[str, tuple[int, ...]], band: Band | None = None, roles: Mapping[str, Role] | None = None
) -> tuple[InputSpec, ...]:
    """The inputs of these names and shapes: images (C, H, W) in 0..1, RGB or grey, and `present` (2,), the mask.

    A name that is or begins with `infrared`, `ir`, `thermal`, `nir` or `lwir` and an underscore is infrared; every
    other image is visible; `roles` has the last word.

    Raises:
        UsageError: a name that forward cannot have, a size that is none, or not 1 or 3 channels.
    """
    return tuple(_input_spec(name, tuple(shape), band, (roles or {}).get(name)) for name, shape in shapes.items())


def _input_spec(name: str, shape: tuple[int, ...], band: Band | None, role: Role | None) -> InputSpec:
    if (name, shape) == ("present", (2,)):
        return present_input()
    text = "x".join(map(str, shape))
    if not name.isidentifier() or len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"input {name}={text} is not NAME=CxHxW", hint="for example --input visible=3x224x224")
    if shape[0] not in (1, 3):
        raise UsageError(
            f"input {name} has {shape[0]} channels, expected 1 or 3", hint="give each camera its own input"
        )
    role = role or ("infrared" if is_infrared(name) else "visible")
    word = name.lower().split("_")[0]
    seen = (band or ("nir" if word == "nir" else "lwir")) if role == "infrared" else "visible"
    image = ImageSpec(colour="grey" if shape[0] == 1 else "rgb", band=seen)
    return InputSpec(name=name, role=role, shape=(1, *shape), image=image)


def _parts(spec: str) -> tuple[Path, str]:
    # From the right: a path may hold a colon itself.
    file, colon, factory = spec.rpartition(":")
    if not colon or not file or not factory.isidentifier():
        raise UsageError(f"{spec!r} is not FILE.py:FACTORY", hint="name the function that returns your network")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="the part before the colon is the path of a Python file")
    return path, factory


def _run_file(path: Path) -> ModuleType:
    # A name of its own: the file can be called like any package and still not stand in for it.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"edgefer_user_{path.stem}_{digest}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise UsageError(f"{path} is not a Python file", hint="its name must end in .py")
    module = importlib.util.module_from_spec(found)
    # Dataclasses and copying look a class's module up by its name.
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        del sys.modules[name]
        raise UsageError(
            f"{path} cannot be imported", details=_frames(error), hint="run it alone to see why"
        ) from error
    return module


def _factory(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    factory = getattr(module, name, None)
    if callable(factory):
        return factory  # type: ignore[no-any-return]
    own = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__ and not key.startswith("_")
    ]
    kind = "has no" if factory is None else f"has a {type(factory).__name__}, not a function,"
    raise UsageError(
        f"{path} {kind} {name}; it has {', '.join(own) or 'no function'}",
        hint=did_you_mean(name, own) or "name a function that returns your nn.Module",
    )


def _made(factory: Callable[..., Any], options: Mapping[str, str], spec: str) -> nn.Module:
    taken = _accepted(factory)
    unknown = [] if taken is None else sorted(set(options) - set(taken))
    if unknown:
        raise UsageError(
            f"{spec} does not take option {', '.join(unknown)}",
            hint=did_you_mean(unknown[0], taken or ()) or f"it takes {', '.join(taken or ()) or 'none'}",
        )
    try:
        module = factory(**options)
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        raise UsageError(f"{spec} raised an error", details=_frames(error), hint="options arrive as text") from error
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{spec} returns {type(module).__name__}, expected a torch.nn.Module", hint="return the network"
        )
    return module


def _check_roles(inputs: tuple[InputSpec, ...], spec: str) -> None:
    for role in {entry.role for entry in inputs}:
        names = [entry.name for entry in inputs if entry.role == role]
        if len(names) > 1:
            raise UsageError(
                f"{spec} has {len(names)} {role} inputs: {', '.join(names)}; one of each camera is expected",
                hint="an infrared input is called infrared, ir, thermal, nir or lwir, or begins so: ir_face",
            )


def _check_types(module: nn.Module, spec: str) -> None:
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UsageError(
                f"{spec} has the parameter {name} in {kind}, expected float32", hint="return network.float()"
            )


def _accepted(factory: Callable[..., Any]) -> list[str] | None:
    """The names of the keywords that `factory` takes; None for any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter.name for parameter in parameters if parameter.kind in named]


def _classes(module: nn.Module, inputs: tuple[InputSpec, ...], spec: str, *, needed: bool) -> int | None:
    """The number of classes, by running the network once on zeros; None where it has no output called logits."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            outputs = forward(module, {entry.name: torch.zeros(entry.shape) for entry in inputs})
            if LOGITS not in outputs and needed:
                raise no_logits(f"a dict of {', '.join(outputs)}")
    except ExportError as error:
        raise UsageError(f"{spec}: {error.message}", hint=error.hint) from error
    except Exception as error:  # whatever the user's forward raises
        shapes = ", ".join(f"{entry.name} {entry.shape}" for entry in inputs)
        raise UsageError(
            f"{spec} does not take its inputs {shapes}",
            details=_frames(error),
            hint="inputs are passed by the names of forward's parameters, or else in the order given",
        ) from error
    finally:
        for part, mode in training.items():
            part.training = mode
    logits = outputs.get(LOGITS)
    if logits is None:
        return None
    if logits.dim() != 2 or logits.shape[0] != inputs[0].shape[0]:
        expected = f"({inputs[0].shape[0]}, classes)"
        raise UsageError(
            f"{spec} gives logits of shape {tuple(logits.shape)}, expected {expected}", hint="one row an image"
        )
    return int(logits.shape[1])


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-_SHOWN_FRAMES)).strip()


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let the file import its neighbours, and put the search path and the working folder back."""
    before = list(sys.path)
    working = Path.cwd()
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before
        # Relative paths of the command line are still to be written to.
        os.chdir(working)
