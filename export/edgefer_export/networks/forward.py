"""Calling a network with its inputs, and naming what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from edgefer.errors import ExportError

LOGITS = "logits"

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ANY = (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)


def forward(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of `module` by name.

    An input goes to the parameter of `forward` that has its name; the others take the parameters that are left, in
    order, those without a default first. What stays without an input keeps its default.

    A single tensor is `logits`; of a list or tuple the first is `logits` and the others are `output_1`, ...; a dict and
    a named tuple with `logits` keep their names. A list inside is taken apart (`features_0`, ...), and what is None is
    left out.

    Raises:
        ExportError: something else is returned, or there are more inputs than parameters.
    """
    positional, named = bound(module, tuple(inputs))
    return named_outputs(module(*(inputs[name] for name in positional), **{key: inputs[n] for key, n in named.items()}))


def bound(module: nn.Module, names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which inputs are passed by position, and which as the keywords of which parameters.

    Raises:
        ExportError: there are more inputs than parameters.
    """
    parameters = list(inspect.signature(module.forward).parameters.values())
    kinds = {parameter.kind for parameter in parameters}
    given = {parameter.name: parameter.name for parameter in parameters if _is(parameter, _ANY, names)}
    rest = [name for name in names if name not in given]
    if inspect.Parameter.VAR_KEYWORD in kinds and not any(_is(each, _POSITIONAL) for each in parameters):
        return (), {name: name for name in names}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return _with_rest(parameters, given, rest)
    free = [each for each in parameters if _is(each, _ANY) and each.name not in given]
    if len(rest) > len(free):
        raise ExportError(
            f"forward has no parameter for the input {', '.join(rest[len(free) :])}; it takes "
            f"{', '.join(parameter.name for parameter in parameters) or 'nothing'}",
            hint="state as many --input as forward takes",
        )
    free.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    given.update({parameter.name: name for parameter, name in zip(free, rest, strict=False)})
    only = [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_ONLY and each.name in given]
    return tuple(given.pop(name) for name in only), given


def _with_rest(
    parameters: list[inspect.Parameter], given: dict[str, str], rest: list[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """With *args everything that is not keyword-only has to be passed by position."""
    positional = [
        given.pop(each.name) if each.name in given else rest.pop(0)
        for each in parameters
        if _is(each, _POSITIONAL) and (each.name in given or rest)
    ]
    return (*positional, *rest), given


def _is(parameter: inspect.Parameter, kinds: tuple[Any, ...], names: tuple[str, ...] | None = None) -> bool:
    return parameter.kind in kinds and (names is None or parameter.name in names)


def named_outputs(returned: Any) -> dict[str, torch.Tensor]:
    """What a network returned, by name, as `forward` describes."""
    if isinstance(returned, torch.Tensor):
        returned = {LOGITS: returned}
    elif isinstance(returned, tuple) and LOGITS in getattr(returned, "_fields", ()):
        returned = returned._asdict()  # type: ignore[attr-defined]
    elif isinstance(returned, (list, tuple)):
        returned = {f"output_{index}" if index else LOGITS: value for index, value in enumerate(returned)}
    if not isinstance(returned, Mapping):
        raise no_logits(type(returned).__name__)
    outputs: dict[str, Any] = {}
    for name, value in _flat(returned):
        if name in outputs:
            raise ExportError(f"the network returns two outputs called {name}", hint="give each a name of its own")
        outputs[name] = value
    if not outputs:
        raise no_logits("nothing")
    for name, value in outputs.items():
        if not isinstance(value, torch.Tensor):
            raise ExportError(
                f"output {name} of the network is {type(value).__name__}, expected a tensor; it returns "
                f"{', '.join(outputs)}",
                hint="return tensors alone: what Python computes does not reach the graph",
            )
    return outputs


def _flat(returned: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in returned.items():
        if isinstance(value, (list, tuple)):
            yield from _flat({f"{name}_{index}": each for index, each in enumerate(value)})
        elif value is not None:
            yield str(name), value


def no_logits(found: str) -> ExportError:
    """The error of a network that returns `found` where class scores are needed."""
    return ExportError(
        f"the network returns {found}, expected a tensor of logits (N, classes)",
        hint="return the logits alone, a tuple that begins with them, or a dict with them under 'logits'",
    )


class ByPosition(nn.Module):
    """A network as a function of tensors by position that returns tensors by position, as exporters want it."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(forward(self.network, dict(zip(self.names, tensors, strict=True))).values())
