"""The C++ library against the Python plugins: formats, types, memory and launches are the same."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from plugin_library_build import BuiltLibrary, built_library
from plugin_library_draw import Draw, create, tensors

from edgefer.engine.flavours import Flavour
from edgefer.errors import EdgeferError
from edgefer.kernels.forms import F16_HWC, F16_LINEAR
from edgefer.kernels.plan import HOPPER, ORIN, Gpu
from edgefer.plugins.fields import FIELDS
from edgefer.plugins.node import Node
from edgefer.plugins.operations import OPERATIONS
from edgefer.plugins.plugin import ELSEWHERE

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "plugins"))
from plugin_fakes import DataType, Desc, describe

FLAVOURS = {
    "tensorrt": Flavour("tensorrt", SimpleNamespace(), "10.3.0"),
    "tensorrt_rtx": Flavour("tensorrt_rtx", SimpleNamespace(ComputeCapability=object()), "1.7.1"),
}

every_operator = pytest.mark.parametrize("operator", FIELDS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> BuiltLibrary:
    return built_library(tmp_path_factory)


def attempt(function: Any, *arguments: Any, failed: Any) -> Any:
    try:
        return function(*arguments)
    except (EdgeferError, ValueError):
        return failed


@every_operator
@pytest.mark.parametrize("host", FLAVOURS)
def test_formats_types_and_memory_are_those_of_python(library: BuiltLibrary, operator: str, host: str) -> None:
    draw, commands, expected = Draw(5), [], []
    for _ in range(400):
        values, described = draw.node(operator)
        node = Node(OPERATIONS[operator], values, FLAVOURS[host].plugin_formats)
        commands += [*create(operator, values), *tensors(described)]
        expected.append(operator)
        expected += list(_answers(node, described, ELSEWHERE if host == "tensorrt_rtx" else (*ELSEWHERE, ORIN)))
        commands += [f"supports {position}" for position in range(len(described))]
        commands += ["type", "configure", "workspace 1 9"]
    found = library.converse(commands, host=host).lines

    assert found == expected
    assert 0.2 < expected.count("1") / len(expected) < 0.9


def _answers(node: Node, described: list[Desc], gpus: tuple[Gpu, ...]) -> Iterator[str]:
    *inputs, output = described
    count = len(inputs)
    for position in range(len(described)):
        yield str(int(attempt(node.supports, position, described[: position + 1], count, failed=False)))
    elements = {DataType.FLOAT: "f32", DataType.HALF: "f16", DataType.INT8: "i8"}
    names = {element: kind.name for kind, element in elements.items()}
    kind = attempt(node.output_element, [elements.get(each.type) for each in inputs], failed=None)
    yield names.get(kind, "failed")
    yield str(int(bool(attempt(node.problem, inputs, output, failed="no"))))
    yield str(attempt(node.workspace, inputs, output, range(1, 10), gpus, failed=0))


@every_operator
@pytest.mark.parametrize("gpu", [ORIN, HOPPER], ids=lambda gpu: gpu.compute_capability)
def test_an_enqueue_launches_what_python_would(library: BuiltLibrary, operator: str, gpu: Gpu) -> None:
    draw, launched = Draw(8), 0
    while launched < 12:
        values, described = draw.node(operator)
        *inputs, output = described
        node = Node(OPERATIONS[operator], values, FLAVOURS["tensorrt"].plugin_formats)
        if attempt(node.problem, inputs, output, failed="no"):
            continue
        prepared = attempt(node.prepare, inputs, output, gpu, failed=None)
        commands = [*create(operator, values), *tensors(described), "attach", "shapes"]
        if prepared is None:
            assert library.converse(commands).lines == [operator, "attached", "1"]
            continue
        addresses = [4096 * (index + 1) for index in range(len(inputs))] + [0x900000]
        expected: list[Any] = []
        launcher = SimpleNamespace(launch=lambda *launch, expected=expected: expected.append(launch))
        prepared.launch(launcher, addresses, 0xA00000, 7)
        ((plan, parameters, stream),) = expected
        answers = library.converse(
            [*commands, f"enqueue {inputs[0].dims[0]}"],
            FAKE_CAPABILITY=gpu.compute_capability,
            FAKE_MULTIPROCESSORS=str(gpu.multiprocessors),
            FAKE_SHARED_BYTES=str(gpu.shared_bytes),
            FAKE_PARAMETER_BYTES=str(ctypes.sizeof(parameters)),
        )
        assert answers.lines == [operator, "attached", "0", "enqueued 0"], answers.log
        found = [line.split() for line in answers.driver if line.startswith("launch ")]
        for launch, (_, entry, *numbers, raw) in zip(plan.launches, found, strict=True):
            assert entry == launch.entry
            sizes = [*launch.grid, launch.block, 1, 1, launch.shared_bytes]
            assert [int(number) for number in numbers] == [*sizes, stream]
            assert fields(type(parameters).from_buffer_copy(bytes.fromhex(raw))) == fields(parameters)
        launched += 1


def fields(parameters: ctypes.Structure) -> dict[str, Any]:
    return {each[0]: getattr(parameters, each[0]) for each in parameters._fields_}


def gated_pool(batch: int = 3) -> list[str]:
    shapes = ((batch, 64, 7, 7), (64, 64), (64,), (batch, 64))
    forms = (F16_HWC, F16_LINEAR, F16_LINEAR, F16_LINEAR)
    described = [describe(shape, form) for shape, form in zip(shapes, forms, strict=True)]
    return [*create("GatedPool", {"square": 1}), *tensors(described)]


def test_all_is_loaded_before_the_first_enqueue(library: BuiltLibrary) -> None:
    """The first enqueue may be recorded into a graph, while a driver refuses to load."""
    answers = library.converse([*gated_pool(), "attach", "shapes", "enqueue 3", "enqueue 3"])

    kinds = [line.split()[0] for line in answers.driver]
    first = kinds.index("launch")
    assert kinds[:first] == ["module", *["function", "attribute"] * (first // 2)]
    assert set(kinds[first:]) == {"launch"}
    assert "begins \x7fELF" in answers.driver[0]


def test_another_batch_is_planned_anew(library: BuiltLibrary) -> None:
    answers = library.converse([*gated_pool(), "attach", "shapes", "enqueue 3", "enqueue 40", "enqueue 3"])

    grids = [line.split()[2:5] for line in answers.driver if line.startswith("launch")]
    assert answers.lines[-3:] == ["enqueued 0"] * 3
    assert grids[0] == grids[-1] != grids[1]


@pytest.mark.parametrize(
    ("function", "lines", "message"),
    [
        ("cuModuleLoadDataEx", ["none", "1", "enqueued 1"], "loading cubin for 8.7 (what the compiler said)"),
        ("cuModuleGetFunction", ["attached", "1", "enqueued 1"], "looking for the kernel edgefer_gated_pool_"),
        ("cuLaunchKernel", ["attached", "0", "enqueued 1"], "enqueue: launching edgefer_gated_pool_"),
    ],
)
def test_an_error_of_the_driver_is_a_status_and_a_message(
    library: BuiltLibrary, function: str, lines: list[str], message: str
) -> None:
    answers = library.converse([*gated_pool(), "attach", "shapes", "enqueue 3"], FAKE_FAILS=function)

    assert answers.lines == ["GatedPool", *lines]
    assert message in answers.log[-1]
    assert answers.log[-1].endswith("CUDA_ERROR_ILLEGAL_ADDRESS (700)")


def test_a_gpu_without_kernels_is_a_message_that_lists_what_there_is(library: BuiltLibrary) -> None:
    answers = library.converse([*gated_pool(), "attach"], FAKE_CAPABILITY="7.2")

    assert answers.lines == ["GatedPool", "none"]
    assert "no kernels for a GPU of compute capability 7.2; there are: " in answers.log[0]
    assert "cubin for 8.7" in answers.log[0]
    assert "PTX for 8.0 and later" in answers.log[0]


@pytest.mark.parametrize("host", FLAVOURS)
def test_a_builder_that_measures_is_refused_without_kernels(library: BuiltLibrary, host: str) -> None:
    """It asks for the workspace next, where an error would be taken for none at all."""
    answers = library.converse([*gated_pool(), "configure"], host=host, FAKE_CAPABILITY="7.2")

    assert answers.lines == ["GatedPool", "1" if host == "tensorrt" else "0"]
    assert bool(answers.log) == (host == "tensorrt")
