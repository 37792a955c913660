"""Inputs find the parameters of any `forward`, and outputs of any form get names."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from edgefer.errors import ExportError  # noqa: E402
from edgefer_export.networks.forward import forward, named_outputs  # noqa: E402


class ByName(nn.Module):
    def forward(self, infrared: Any, visible: Any) -> Any:
        return visible, infrared


class KeywordOnly(nn.Module):
    def forward(self, *, infrared: Any, visible: Any) -> Any:
        return visible, infrared


class OtherNames(nn.Module):
    def forward(self, x: Any, y: Any, scale: float = 1.0) -> Any:
        return x * scale, y


class OneOfTheNames(nn.Module):
    def forward(self, infrared: Any, x: Any) -> Any:
        return x, infrared


class Anything(nn.Module):
    def forward(self, *tensors: Any) -> Any:
        return tensors


class NamedThenAnything(nn.Module):
    def forward(self, infrared: Any, *others: Any) -> Any:
        return others[0], infrared


class Keywords(nn.Module):
    def forward(self, **tensors: Any) -> Any:
        return tensors["visible"], tensors["infrared"]


class PositionalOnly(nn.Module):
    def forward(self, infrared: Any, x: Any, /, scale: float = 1.0) -> Any:
        return x, infrared


class OptionalFirst(nn.Module):
    def forward(self, mask: Any = None, *, first: Any, second: Any) -> Any:
        assert mask is None
        return first, second


@pytest.mark.parametrize(
    "module",
    [
        *(ByName(), KeywordOnly(), OtherNames(), OneOfTheNames(), Anything()),
        *(NamedThenAnything(), Keywords(), PositionalOnly(), OptionalFirst()),
    ],
    ids=lambda module: type(module).__name__,
)
def test_inputs_find_their_parameters(module: Any) -> None:
    inputs = {"visible": torch.tensor([1.0]), "infrared": torch.tensor([2.0])}
    outputs = forward(module, inputs)
    assert [outputs["logits"].item(), outputs["output_1"].item()] == [1.0, 2.0]


def test_inputs_by_name_come_in_any_order() -> None:
    outputs = forward(ByName(), {"infrared": torch.tensor([2.0]), "visible": torch.tensor([1.0])})
    assert outputs["logits"].item() == 1.0


def test_an_optional_parameter_takes_an_input_that_is_left() -> None:
    class Masked(nn.Module):
        def forward(self, x: Any, mask: Any = None) -> Any:
            return x if mask is None else x * mask

    inputs = {"visible": torch.tensor([3.0]), "present": torch.tensor([2.0])}
    assert forward(Masked(), inputs)["logits"].item() == 6.0
    assert forward(Masked(), {"visible": torch.tensor([3.0])})["logits"].item() == 3.0


def test_more_inputs_than_parameters_are_said() -> None:
    one = torch.tensor([1.0])
    with pytest.raises(ExportError, match="no parameter for the input ir; it takes infrared, visible"):
        forward(ByName(), {"visible": one, "infrared": one, "ir": one})


ZERO, ONE = torch.zeros(1), torch.ones(1)
Named = namedtuple("Named", ["boxes", "logits"])
Unnamed = namedtuple("Unnamed", ["scores", "boxes"])


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (ZERO, ["logits"]),
        ((ZERO, ONE), ["logits", "output_1"]),
        ([ZERO], ["logits"]),
        (Named(ZERO, ONE), ["boxes", "logits"]),
        (Unnamed(ZERO, ONE), ["logits", "output_1"]),
        (OrderedDict(boxes=ZERO, logits=ONE, loss=None), ["boxes", "logits"]),
        ({"logits": ZERO, "features": [ZERO, (ONE, ONE)]}, ["logits", "features_0", "features_1_0", "features_1_1"]),
        ({"boxes": ZERO, "scores": ONE}, ["boxes", "scores"]),
    ],
)
def test_outputs_get_names(returned: Any, names: list[str]) -> None:
    assert list(named_outputs(returned)) == names


def test_two_outputs_of_one_name_are_said() -> None:
    with pytest.raises(ExportError, match="two outputs called features_0"):
        named_outputs({"logits": ZERO, "features": [ZERO], "features_0": ONE})
