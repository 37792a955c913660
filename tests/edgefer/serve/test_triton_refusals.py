"""What `edgefer triton` refuses, and what it says then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import ImageSpec, InputSpec, SaliencySpec
from edgefer.errors import DeviceError, EnvironmentMismatch, ExportError, InputError, UsageError
from edgefer.serve import plan as plans
from edgefer.serve.deepstream import DeepStreamOptions, write_deepstream
from edgefer.serve.triton import write_triton
from edgefer.serve.triton_files import TritonOptions

pytest.importorskip("onnx")


@pytest.fixture(scope="session")
def saliency_bundle(single_bundle: Any) -> Bundle:
    """A bundle that says it makes saliency maps; what its graphs compute does not matter here."""
    plain: Bundle = single_bundle()
    graph = plain.graph()
    face = msgspec.structs.replace(
        graph,
        inputs=(
            *graph.inputs,
            InputSpec(name="map", role="saliency", shape=(1, 1, 8, 8), image=ImageSpec(colour="grey")),
        ),
    )
    maker = msgspec.structs.replace(
        graph,
        role="saliency",
        member="graphs/saliency.onnx",
        rate=0.1,
        inputs=(msgspec.structs.replace(graph.inputs[0], name="frame"),),
        outputs=(msgspec.structs.replace(graph.outputs[1], name="saliency", role="other", shape=(1, 1, 4, 4)),),
    )
    manifest = msgspec.structs.replace(
        plain.manifest, graphs=(face, maker), saliency=SaliencySpec(input="map", weight=1.0)
    )
    members = {name: plain.member(name) for name in plain.members}
    return Bundle.from_members(manifest, {**members, "graphs/saliency.onnx": members["graphs/visible.onnx"]})


def test_saliency_maps_cannot_be_served(saliency_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Triton cannot be given") as caught:
        write_triton(saliency_bundle, tmp_path / "models", TritonOptions())
    assert "SaliencySession" in caught.value.hint
    with pytest.raises(ExportError, match="DeepStream cannot be given"):
        write_deepstream(saliency_bundle, tmp_path / "folder", DeepStreamOptions())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "ä", "a b", "x" * 101])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str, single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        write_triton(single_bundle(), tmp_path / "models", TritonOptions(name=name))


def test_the_name_is_that_of_the_file(single_bundle: Any, tmp_path: Path) -> None:
    single_bundle().write(tmp_path / "my face (1).edgefer")
    bundle = Bundle.read(tmp_path / "my face (1).edgefer")
    assert write_triton(bundle, tmp_path / "models", TritonOptions()).models[-1] == "my_face__1_"


def test_labels_of_two_lines_are_refused(single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="one label a line"):
        write_triton(single_bundle(labels=("a", "b\nc", "d")), tmp_path / "models", TritonOptions())


def test_a_camera_that_is_not_there_has_no_bits(single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="infrared") as caught:
        write_triton(single_bundle(), tmp_path / "models", TritonOptions(deep=("infrared",)))
    assert "visible" in caught.value.hint


def test_a_graph_that_is_not_there_is_named(single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="infrared"):
        write_triton(single_bundle(), tmp_path / "models", TritonOptions(graph="infrared"))


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b"", "is empty")])
def test_an_engine_that_is_none_is_refused(content: Any, words: str, single_bundle: Any, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    if content is not None:
        engine.write_bytes(content)
    with pytest.raises(InputError, match=words):
        write_triton(single_bundle(), tmp_path / "models", TritonOptions(plan=str(engine)))
    assert not (tmp_path / "models").exists()


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cache of a machine with TensorRT 10.3 and a GPU; `held` is the path and the report of what it holds."""
    import edgefer.engine.bundle_work as work
    import edgefer.engine.flavours as flavours

    class Work:
        held: Any = None

        def __init__(self, *_: Any) -> None: ...

        def found(self, _: Any) -> Any:
            return self.held

    monkeypatch.setattr(work, "BundleWork", Work)
    flavour = flavours.Flavour(name="tensorrt", module=None, version="10.3.0")
    monkeypatch.setattr(flavours, "detect", lambda name, driver: flavour)
    return Work


def test_the_cached_engine_is_taken(cached: Any, single_bundle: Any, tmp_path: Path) -> None:
    class Report:
        plugins = ("edgefer::CbamAttention",)

    (tmp_path / "engine.plan").write_bytes(b"from the cache")
    cached.held = (tmp_path / "engine.plan", Report())
    written = write_triton(single_bundle(), tmp_path / "models", TritonOptions(name="net", plan="cached"))
    assert (tmp_path / "models" / "net_network" / "1" / "model.plan").read_bytes() == b"from the cache"
    assert any("CbamAttention" in note for note in written.notes)


def test_an_engine_that_is_not_cached_is_not_built(cached: Any, single_bundle: Any, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"no engine of this bundle for tensorrt 10\.3\.0") as caught:
        plans.take_plan(single_bundle(), single_bundle().graph(), "cached")
    assert "build-engine" in caught.value.hint


def test_without_tensorrt_or_a_gpu_nothing_is_cached(single_bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgefer.engine.driver import cuda_driver

    if cuda_driver().gpus:
        pytest.skip("there is a GPU here")
    with pytest.raises((EnvironmentMismatch, DeviceError), match="tensorrt"):
        plans.take_plan(single_bundle(), single_bundle().graph(), "cached")
