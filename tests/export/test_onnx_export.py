"""The exported graph is portable, well named, and proven to compute what the network computes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgefer.errors import ExportError, InputError  # noqa: E402
from edgefer_export import exporters as under_test  # noqa: E402
from edgefer_export.checks import literal_graph, relative_error  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.networks.attention import CbamAttention, GatedPool  # noqa: E402
from edgefer_export.networks.forward import forward  # noqa: E402
from edgefer_export.networks.registry import LoadedNetwork  # noqa: E402
from edgefer_export.onnx_export import export_onnx, random_inputs  # noqa: E402
from edgefer_export.operators import DOMAIN, OPERATORS, operator_counts  # noqa: E402
from edgefer_export.runners import network_function  # noqa: E402

SMALL = {"width": "0.125", "size": "64"}


def small(name: str) -> dict[str, str]:
    """The options that make this network small, whatever it calls its sides."""
    wanted = {**SMALL, "height": "64", "width_px": "64"}
    known = {option.name for option in registry.describe(name).options}
    return {option: value for option, value in wanted.items() if option in known}


def shaken(network: LoadedNetwork, seed: int = 0) -> LoadedNetwork:
    """With batch norm statistics and gates away from their first values, which hide mistakes in folding."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.7, 1.3),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return network


def user_network(module: nn.Module, inputs: dict[str, tuple[int, ...]], classes: int = 4) -> LoadedNetwork:
    labels = tuple(f"class_{index}" for index in range(classes))
    return LoadedNetwork(module, "own", {}, registry.input_specs(inputs), labels, "visible", "test")


EXPECTED = {
    "viri-visible": {"GatedPool": 1},
    "viri-infrared": {"GatedPool": 1},
    "viri-fusion": {"GatedFusion": 1},
    "cbam-early-fusion": {"CbamAttention": 8},
    "fusion-attention": {"LocalGate": 1},
}
"""The operators of domain `edgefer` in each network; the others have none."""


@pytest.mark.parametrize("name", registry.names())
def test_every_network_exports_to_what_was_agreed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    network = shaken(registry.create(name, small(name)))
    exported = export_onnx(network)
    model = exported.model
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 9
    expected = EXPECTED.get(name, {})
    opsets = {"": 19, DOMAIN: 1} if expected else {"": 19}
    assert {entry.domain: entry.version for entry in model.opset_import} == opsets
    assert operator_counts(model) == expected
    assert [function.name for function in model.functions] == list(expected)
    assert exported.max_error < 1e-5
    if network.logits is not None:
        assert exported.notes == ()
        logits = [(spec.role, spec.shape) for spec in exported.outputs if spec.name == "logits"]
        assert logits == [("logits", (1, len(network.labels)))]
    assert [value.name for value in model.graph.input] == [spec.name for spec in network.inputs]
    for value, spec in zip(model.graph.input, network.inputs, strict=True):
        assert tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) == spec.shape
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Warning" not in captured.err


@pytest.mark.parametrize(
    "options", [{"gate": "linear"}, {"fusion": "concat"}, {"norm": "imagenet"}, {"present": "true"}]
)
def test_every_switch_of_the_fusion_exports(options: dict[str, str]) -> None:
    network = shaken(registry.create("viri-fusion", {**SMALL, **options, "infrared_channels": "1"}))
    assert export_onnx(network).max_error < 1e-5


def test_attention_nodes_carry_their_weights_in_the_order_of_the_table() -> None:
    network = shaken(registry.create("cbam-early-fusion", SMALL))
    model = export_onnx(network).model
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "CbamAttention"]
    for node in nodes:
        assert len(node.input) == len(OPERATORS["CbamAttention"].inputs)
    block = network.module.trunk.layer3[1].attention
    (node,) = [node for node in nodes if node.name == "/trunk/layer3/layer3.1/attention/CbamAttention"]
    scale = (block.bn.weight / torch.sqrt(block.bn.running_var + block.bn.eps)).detach()
    expected = [
        block.squeeze.weight,
        block.squeeze.bias,
        block.expand.weight,
        block.expand.bias,
        block.spatial.weight * scale,
        block.bn.bias - block.bn.running_mean * scale,
    ]
    for name, value in zip(node.input[1:7], expected, strict=True):
        np.testing.assert_allclose(weights[name], value.detach().numpy(), rtol=1e-5, atol=1e-7)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert attributes == {"spatial_kernel": 7, "relu": 1, "plugin_version": b"1", "plugin_namespace": b"edgefer"}


def test_names_are_the_modules_own_paths() -> None:
    model = export_onnx(registry.create("viri-fusion", SMALL)).model
    nodes = [node.name for node in model.graph.node]
    assert "/visible/layer2/layer2.0/downsample/downsample.0/Conv" in nodes
    assert "/fusion/GatedFusion" in nodes
    assert len(set(nodes)) == len(nodes)
    names = {name for node in model.graph.node for name in (*node.input, *node.output, node.name)}
    assert not [name for name in names if "onnx::" in name or "network" in name]
    assert {node.op_type for node in model.graph.node} <= {
        *("Conv", "Relu", "Add", "MaxPool", "Gemm", "BatchNormalization", "GatedFusion")
    }


def test_the_network_is_left_as_it_was() -> None:
    network = registry.create("cbam-early-fusion", SMALL)
    network.module.train()
    network.module.trunk.layer1.eval()
    modes = [module.training for module in network.module.modules()]
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    export_onnx(network)
    assert [module.training for module in network.module.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in network.module.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.module.parameters())
    assert all(module._folded is None for module in network.module.modules() if isinstance(module, CbamAttention))


def test_the_same_network_exports_to_the_same_bytes() -> None:
    network = registry.create("viri-visible", SMALL)
    first, second = (export_onnx(network).model.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_several_batches_leave_the_batch_free() -> None:
    network = shaken(registry.create("viri-fusion", {**SMALL, "present": "true"}))
    exported = export_onnx(network, batches=(4, 1))
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in exported.model.graph.input)
    graph = literal_graph(exported.model)
    network.module.eval()
    for batch in (1, 3, 4):
        feeds = random_inputs(network.inputs, 5, batch)
        with torch.no_grad():
            reference = forward(network.module, {name: torch.from_numpy(array) for name, array in feeds.items()})
        assert relative_error(graph.run(feeds)["logits"], reference["logits"].numpy()) < 1e-5


def test_one_other_batch_is_static() -> None:
    exported = export_onnx(registry.create("viri-visible", SMALL), batches=(2,))
    assert exported.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    assert exported.outputs[0].shape == (2, 5)


def test_random_inputs_lie_in_their_range_and_masks_are_whole() -> None:
    import msgspec

    specs = registry.create("viri-fusion", {**SMALL, "present": "true"}).inputs
    image = msgspec.structs.replace(specs[0].image, range=(-1.0, 1.0))
    feeds = random_inputs((msgspec.structs.replace(specs[0], image=image), *specs[1:]), seed=3, batch=3)
    assert -1 <= feeds["visible"].min() < -0.9
    assert 0 <= feeds["infrared"].min() < 0.1
    assert sorted(map(tuple, feeds["present"].tolist())) == [(0, 1), (1, 0), (1, 1)]
    assert all(array.dtype == np.float32 for array in feeds.values())


class Small(nn.Module):
    """One convolution and a classifier, with something in between."""

    def __init__(self, between: Callable[[torch.Tensor], Any] | nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.between = between

    def forward(self, visible: torch.Tensor) -> Any:
        return self.between(self.conv(visible).relu())


VISIBLE = {"visible": (3, 16, 16)}


def test_blocks_serve_in_networks_of_the_user() -> None:
    exported = export_onnx(user_network(Small(GatedPool(4, square=False)), VISIBLE))
    assert operator_counts(exported.model) == {"GatedPool": 1}


def test_several_outputs_are_named() -> None:
    module = Small(lambda x: {"embedding": x.mean((2, 3)), "logits": x.amax((2, 3))})
    exported = export_onnx(user_network(module, VISIBLE))
    assert [(spec.name, spec.role) for spec in exported.outputs] == [("embedding", "other"), ("logits", "logits")]
    assert [value.name for value in exported.model.graph.output] == ["embedding", "logits"]


def randomly(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3)) + torch.rand(1, 4, dtype=x.dtype)


def test_a_network_with_randomness_is_refused() -> None:
    with pytest.raises(ExportError, match=r"output logits of the exported graph is off by \d\.\d+e"):
        export_onnx(user_network(Small(randomly), VISIBLE))


def test_an_error_that_only_data_shows_is_found() -> None:
    class Rare(nn.Module):
        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            means = visible.mean((2, 3))
            # Python decides, so the trace keeps what random images in 0..1 do.
            return torch.cat((means, means), 1) if bool(means.max() < 0.9) else torch.cat((means, -means), 1)

    network = user_network(Rare(), VISIBLE, classes=6)
    (note,) = export_onnx(network).notes
    assert "test_onnx_export.py" in note
    assert "Converting a tensor to a Python boolean" in note
    with pytest.raises(ExportError, match="output logits"):
        export_onnx(network, [{"visible": np.ones((1, 3, 16, 16), np.float32)}])


def test_a_network_whose_own_answer_is_not_finite_is_refused() -> None:
    with pytest.raises(ExportError, match="of the network itself holds NaN or infinity"):
        export_onnx(user_network(Small(lambda x: x.mean((2, 3)).repeat(1, 4)[:, :4] / 0.0), VISIBLE))


def test_a_network_that_changes_its_input_is_judged_on_what_was_given() -> None:
    def inplace(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x.mul_(2).mean((2, 3)), (0, 4 - x.shape[1]))

    network = user_network(Small(inplace), VISIBLE)
    feed = {"visible": np.ones((1, 3, 16, 16), np.float32)}
    exported = export_onnx(network, [feed])
    answer = network_function(network)(feed)["logits"]
    assert np.array_equal(feed["visible"], np.ones((1, 3, 16, 16), np.float32))
    assert np.allclose(answer, literal_graph(exported.model).run(feed)["logits"])


def test_a_damaged_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = under_test.attach_functions

    def damaging(model: Any) -> Any:
        attached = real(model)
        (bias,) = [tensor for tensor in attached.model.graph.initializer if tensor.name == "head.3.bias"]
        values = onnx.numpy_helper.to_array(bias).copy()
        values[0] += 3e-4
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return attached

    monkeypatch.setattr(under_test, "attach_functions", damaging)
    with pytest.raises(ExportError, match=r"off by 3\.0.e-04, expected at most 1e-04"):
        export_onnx(registry.create("viri-visible", SMALL))


def test_a_network_that_float64_does_not_fit_is_checked_in_float32() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            return self.conv(visible.float()).mean((2, 3))

    exported = export_onnx(user_network(Single(), VISIBLE))
    assert exported.notes == ("checked against float32: the network does not run in float64",)


def test_what_torch_cannot_export_is_said_with_its_reason() -> None:
    class Untraceable(nn.Module):
        def forward(self, visible: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(visible[:, :, :3, :3].sum(1)).real.repeat(1, 2)[:, :4]

    with pytest.raises(ExportError, match=r"(?s)torch cannot export the network.*no ONNX for aten::linalg_eigvals"):
        export_onnx(user_network(Untraceable(), {"visible": (3, 3, 3)}))


def test_inputs_that_the_network_does_not_take_are_said() -> None:
    network = registry.create("viri-visible", SMALL)
    wrong = replace(network, inputs=registry.input_specs({"visible": (1, 64, 64)}))
    with pytest.raises(ExportError, match=r"(?s)does not take its inputs visible \(1, 1, 64, 64\).*channels"):
        export_onnx(wrong)


def test_logits_of_another_number_are_said() -> None:
    with pytest.raises(ExportError, match=r"logits of shape \(1, 5\), expected \(1, 2\)"):
        export_onnx(replace(registry.create("viri-visible", SMALL), labels=("a", "b")))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("text", "returns str, expected a tensor of logits"),
        ({"embedding": torch.zeros(1, 4)}, "returns a dict of embedding, expected a tensor of logits"),
        ({"logits": torch.zeros(1, 4), "count": 3}, "output count of the network is int, expected a tensor"),
        ({}, "returns nothing, expected a tensor of logits"),
    ],
)
def test_outputs_that_are_no_logits_are_said(returned: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        export_onnx(user_network(Small(lambda x: returned), VISIBLE))


def feed(**changes: Any) -> dict[str, Any]:
    return {"visible": np.zeros((1, 3, 64, 64), np.float32), **changes}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (feed(infrared=np.zeros((1, 3, 64, 64), np.float32)), "no input infrared"),
        ({}, "input visible is missing"),
        (feed(visible=np.zeros((1, 1, 64, 64), np.float32)), r"visible is float32 \(1, 1, 64, 64\), expected"),
        (feed(visible=np.zeros((2, 3, 64, 64), np.float32)), r"visible is float32 \(2, 3"),
        (feed(visible=np.zeros((1, 3, 64, 64))), "visible is float64"),
        (feed(visible=np.full((1, 3, 64, 64), np.nan, np.float32)), "visible holds NaN"),
    ],
)
def test_feeds_that_do_not_fit_are_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        export_onnx(registry.create("viri-visible", SMALL), [given])


@pytest.mark.parametrize("batches", [(), (0, 1)])
def test_batches_must_be_positive(batches: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected positive sizes"):
        export_onnx(registry.create("viri-visible", SMALL), batches=batches)


def test_relative_error_is_the_agreed_figure() -> None:
    assert relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.5])) == pytest.approx(0.5 / 2.5)
    assert relative_error(np.array([0.1]), np.array([0.2])) == pytest.approx(0.1)
    assert relative_error(np.array([np.nan]), np.array([0.2])) == float("inf")
    assert relative_error(np.zeros(0), np.zeros(0)) == 0
    with pytest.raises(ValueError, match="shapes differ"):
        relative_error(np.zeros(2), np.zeros(3))


def test_operators_and_steps_without_torch_import_without_it() -> None:
    import subprocess

    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import edgefer_export.operators, edgefer_export.half, edgefer_export.simplify, edgefer_export.checks"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
