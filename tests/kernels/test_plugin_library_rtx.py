"""The C++ library in TensorRT-RTX: engines of the same layers as with the Python plugins, and fields that both read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("onnx")

from plugin_library_build import VARIABLE, BuiltLibrary, built_library

from edgefer.engine.portable import for_parser
from edgefer.plugins.fields import FIELDS, NAMESPACE, VERSION, defaults
from edgefer.plugins.operations import OPERATIONS

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "plugins"))
from plugin_graphs import MAPS, Sample, model, sample

CHILD = Path(__file__).parent / "plugin_library" / "rtx_child.py"
PLUGIN = "custom_layer"
NODES = {
    "cbam": sample("CbamAttention", relu=1),
    "cbam-alone": sample("CbamAttention", without=("R",), spatial_kernel=3),
    "gate": sample("ChannelGate"),
    "gate-hard": sample("ChannelGate", without=("b1",), gate="hard_sigmoid"),
    "pool": sample("GatedPool", square=1),
    "fusion": sample("GatedFusion", interleave=1),
    "fusion-two": sample("GatedFusion", without=("P",)),
    "local": sample("LocalGate"),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> BuiltLibrary:
    return built_library(tmp_path_factory)


def ask(folder: Path, **request: Any) -> Any:
    (folder / "request.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, CHILD, folder / "request.json"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def engines(
    folder: Path, graphs: Mapping[str, bytes], library: BuiltLibrary | None, batches: tuple[int, ...] = (2,)
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Layers and plans of the graphs by their names, with the plugins of the library or of Python."""
    folders = {name: folder / name for name in graphs}
    for name, graph in graphs.items():
        folders[name].mkdir(parents=True)
        (folders[name] / "graph.onnx").write_bytes(graph)
    source = None if library is None else str(library.path)
    layers = ask(folder, library=source, batches=batches, graphs=[str(each) for each in folders.values()])
    plans = {name: (each / "plan").read_bytes() for name, each in folders.items()}
    return dict(zip(graphs, layers, strict=True)), plans


def int8(given: Sample) -> bytes:
    scales = {MAPS[name]: 0.05 for name in given.tensors if name in MAPS}
    if OPERATIONS[given.operator].gives_map:
        scales["y_scale"] = 0.04
    return model(given, "f32", scales=scales)


def stored(plan: bytes, operator: str) -> bytes:
    """What a plan holds of a plugin's fields: from the name of the first one to the value of the last one."""
    first, last = FIELDS[operator][0].name.encode(), FIELDS[operator][-1].name.encode()
    begin = plan.index(first)
    return plan[begin : plan.index(last, begin) + 64]


def test_nodes_become_the_same_layers_and_the_same_stored_fields(library: BuiltLibrary, tmp_path: Path) -> None:
    graphs = {f"{name}-{kind}": model(given, kind) for name, given in NODES.items() for kind in ("f32", "f16")}
    graphs |= {f"{name}-i8": int8(given) for name, given in NODES.items()}
    ours, plans = engines(tmp_path / "library", graphs, library)
    theirs, others = engines(tmp_path / "python", graphs, None)

    assert ours == theirs
    for name in graphs:
        assert [each[0] for each in ours[name]].count(PLUGIN) == 1, name
        operator = NODES[name.rsplit("-", 1)[0]].operator
        assert stored(plans[name], operator) == stored(others[name], operator), name


def test_dynamic_batches_become_the_same_layers(library: BuiltLibrary, tmp_path: Path) -> None:
    graphs = {name: model(given, "f16", dynamic=True) for name, given in NODES.items()}
    ours, _ = engines(tmp_path / "library", graphs, library, batches=(1, 4))
    assert ours == engines(tmp_path / "python", graphs, None, batches=(1, 4))[0]


def test_a_network_becomes_the_same_layers_and_fewer_than_written_out(library: BuiltLibrary, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from edgefer_export.half import to_half
    from edgefer_export.networks import registry
    from edgefer_export.onnx_export import export_onnx

    network = registry.create("cbam-early-fusion", {"width": "0.5", "size": "64", "classes": "7"})
    portable = export_onnx(network).model
    both = {"fp32": portable.SerializeToString(), "fp16": to_half(portable).model.SerializeToString()}
    plugins = frozenset((NAMESPACE, name) for name in OPERATIONS)
    graphs = {name: for_parser(data, plugins) for name, data in both.items()}
    ours, _ = engines(tmp_path / "library", graphs, library, batches=(1,))
    theirs, _ = engines(tmp_path / "python", graphs, None, batches=(1,))
    written_out, _ = engines(tmp_path / "inlined", {name: for_parser(data) for name, data in both.items()}, None, (1,))

    assert ours == theirs
    for name in both:
        assert [each[0] for each in ours[name]].count(PLUGIN) == 8
        assert len(ours[name]) < len(written_out[name]) / 2, (len(ours[name]), len(written_out[name]))


def test_the_creators_take_what_python_stores(library: BuiltLibrary, tmp_path: Path) -> None:
    values: dict[str, dict[str, Any]] = {name: {**defaults(name), "x_scale": 0.125} for name in OPERATIONS}
    values["ChannelGate"] |= {"gate": "hard_sigmoid", "alpha": 0.16666667, "present": 2}
    values["CbamAttention"] |= {"spatial_kernel": 3, "relu": 1, "y_scale": 0.5, "present": 0}
    answers = ask(tmp_path, library=str(library.path), fields=values)

    for operator, answer in answers.items():
        theirs, python = answer["declared"]
        assert theirs == python, operator
        assert answer["taken"] == [True, True], operator
        # A node may leave attributes out; an engine has stored them all.
        assert answer["fewer"] == [True, False], operator


def test_opening_the_second_library_registers_the_plugins(library: BuiltLibrary, tmp_path: Path) -> None:
    if "getPluginCreatorList" in (Path(os.environ[VARIABLE]) / "NvInferRuntimeCommon.h").read_text():
        pytest.skip("the registry of these headers is not that of TensorRT-RTX 1.7, which has TensorRT 11's")
    path = library.path.with_name("libedgefer_plugins_autoregister.so")
    found = [each for each in ask(tmp_path, opened=str(path)) if each[0] == NAMESPACE]
    assert sorted(found) == sorted([NAMESPACE, name, VERSION] for name in OPERATIONS)
