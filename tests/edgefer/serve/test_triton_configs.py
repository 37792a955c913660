"""The configurations of a Triton repository: against the schema, and against each other."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.manifest import EmbeddingSpec, ImageSpec, InputSpec, OutputSpec
from edgefer.serve.pbtxt import Word, render
from edgefer.serve.triton import write_triton
from edgefer.serve.triton_files import TritonOptions

pytest.importorskip("onnx")

Read = Callable[[Path], Any]


def means(channels: int = 3) -> dict[str, Any]:
    """Class means in the embedding of the network of one camera."""
    spec = EmbeddingSpec(
        output="embedding", means="embedding/means.npy", spread=(1.0, 1.0, 1.0), reject_beyond=2.0, kept=0.99, count=30
    )
    array = np.arange(3 * channels, dtype=np.float32).reshape(3, channels)
    return {"embedding": spec, "members": {"embedding/means.npy": encode_array(array)}}


def vector(bundle: Bundle) -> Bundle:
    """The bundle with a second input and a second output of one number an example, as far as its manifest says."""
    graph = bundle.graph()
    number = InputSpec(name="age", role="other", shape=(min(graph.batches),))
    outputs = (*graph.outputs[:1], OutputSpec(name="embedding", role="other", shape=(min(graph.batches),)))
    graph = msgspec.structs.replace(graph, inputs=(*graph.inputs, number), outputs=outputs)
    manifest = msgspec.structs.replace(bundle.manifest, graphs=(graph,))
    return Bundle.from_members(manifest, {name: bundle.member(name) for name in bundle.members})


def bundles(single: Any, fused: Any) -> dict[str, Any]:
    return {
        "fixed": fused(),
        "masked": fused(mask=True),
        "free batch": fused(mask=True, batches=(1, 4)),
        "fixed at 2": fused(batches=(2,)),
        "words of roles as names": fused(
            mask=True, names={"visible": "infrared", "infrared": "present", "present": "visible"}
        ),
        "no golden inputs": fused(mask=True, golden=0),
        "one camera": single(),
        "one camera, free batch": single(batches=(1, 2, 8)),
        "tensor that is no image": single(role="other"),
        "no logits": single(outputs=("embedding",), batches=(1, 2)),
        "class means": single(batches=(1, 2), **means()),
        "a number each": vector(single(batches=(1, 2))),
        "a number each, raw": vector(single(batches=(1, 2), outputs=("embedding",))),
    }


KINDS = [
    *("fixed", "masked", "free batch", "fixed at 2", "words of roles as names", "no golden inputs", "one camera"),
    *(
        "one camera, free batch",
        "tensor that is no image",
        "no logits",
        "class means",
        "a number each",
        "a number each, raw",
    ),
]


@pytest.fixture(params=[(kind, plan) for kind in KINDS for plan in (False, True)], ids=str)
def repository(
    request: pytest.FixtureRequest, single_bundle: Any, tiny_bundle_factory: Any, tmp_path: Path
) -> tuple[Path, tuple[str, ...], Any]:
    kind, plan = request.param
    bundle = bundles(single_bundle, tiny_bundle_factory)[kind]
    options = TritonOptions(name="net")
    if plan:
        (tmp_path / "engine").write_bytes(b"an engine")
        options = TritonOptions(name="net", plan=str(tmp_path / "engine"))
    written = write_triton(bundle, tmp_path / "models", options)
    return written.folder, written.models, bundle


def test_every_configuration_is_of_the_schema(repository: Any, read_config: Read) -> None:
    folder, models, _ = repository
    assert sorted(models) == sorted(each.name for each in folder.iterdir())
    for name in models:
        config = read_config(folder / name)
        assert config.name == name
        assert (config.backend or config.platform) in ("onnxruntime", "tensorrt", "python", "ensemble")
        assert (folder / name / "1").is_dir()


def test_every_file_that_is_named_is_there(repository: Any, read_config: Read) -> None:
    folder, models, bundle = repository
    for name in models:
        config = read_config(folder / name)
        if config.default_model_filename:
            assert (folder / name / "1" / config.default_model_filename).stat().st_size
        if config.backend == "python":
            assert (folder / name / "1" / "model.py").is_file()
            assert "edgefer==" in (folder / name / "requirements.txt").read_text()
        for output in config.output:
            if output.label_filename:
                labels = (folder / name / output.label_filename).read_text().splitlines()
                assert labels == list(bundle.manifest.labels)
                assert output.dims[-1] == len(labels)


def test_warm_up_requests_are_what_the_models_take(repository: Any, read_config: Read) -> None:
    folder, models, _ = repository
    for name in models:
        config = read_config(folder / name)
        inputs = {each.name: each for each in config.input}
        for sample in config.model_warmup:
            assert sample.batch_size >= 1
            assert sample.batch_size <= max(config.max_batch_size, 1)
            given = {entry.key: entry.value for entry in sample.inputs}
            assert given.keys() >= {each for each in inputs if not inputs[each].optional}
            for key, value in given.items():
                assert value.data_type == inputs[key].data_type
                assert len(value.dims) == len(inputs[key].dims)
                assert all(want in (-1, have) for want, have in zip(inputs[key].dims, value.dims, strict=True))
                if value.input_data_file:
                    data = np.fromfile(folder / name / "warmup" / value.input_data_file, "<f4")
                    assert data.size == np.prod(value.dims)
                    assert np.isfinite(data).all()
                    assert data.any()


def test_the_ensemble_joins_what_fits(repository: Any, read_config: Read) -> None:
    """The rules of Triton's own check, src/ensemble_scheduler/ensemble_utils.cc in triton-inference-server/core."""
    folder, models, _ = repository
    config = read_config(folder / models[-1])
    assert config.platform == "ensemble"
    # An ensemble reshapes its own tensors before it compares them with those of its models.
    assert not any(each.reshape for each in (*config.input, *config.output))
    tensors = {each.name: each for each in config.input}
    for step in config.ensemble_scheduling.step:
        model = read_config(folder / step.model_name)
        assert model.max_batch_size == config.max_batch_size
        taken = {entry.key: entry.value for entry in step.input_map}
        assert taken.keys() == {each.name for each in model.input}
        for each in model.input:
            source = tensors[taken[each.name]]
            assert (source.data_type, list(source.dims)) == (each.data_type, list(each.dims))
            if source.message == "ModelInput" and source.optional:
                assert each.optional
        made = {each.name: each for each in model.output}
        for entry in step.output_map:
            assert entry.value not in tensors
            tensors[entry.value] = made[entry.key]
    for each in config.output:
        source = tensors[each.name]
        assert (source.data_type, list(source.dims)) == (each.data_type, list(each.dims))


@pytest.mark.parametrize("kind", ["free batch", "fixed", "fixed at 2"])
def test_max_batch_size_is_of_the_profiles(
    kind: str, single_bundle: Any, tiny_bundle_factory: Any, tmp_path: Path, read_config: Read
) -> None:
    bundle = bundles(single_bundle, tiny_bundle_factory)[kind]
    write_triton(bundle, tmp_path / "models", TritonOptions(name="net"))
    network = read_config(tmp_path / "models" / "net_network")
    dims = {each.name: each.dims for each in network.input}["visible"]
    expected = {"free batch": (4, [3, 8, 8]), "fixed": (0, [1, 3, 8, 8]), "fixed at 2": (0, [2, 3, 8, 8])}
    assert (network.max_batch_size, dims) == expected[kind]
    assert (network.dynamic_batching is not None) == (kind == "free batch")
    assert [each.batch_size for each in network.model_warmup] == ([1, 4] if kind == "free batch" else [1])


def test_a_number_for_each_example_is_a_dimension_of_one(single_bundle: Any, tmp_path: Path, read_config: Read) -> None:
    write_triton(vector(single_bundle(batches=(1, 2))), tmp_path, TritonOptions(name="net"))
    network = read_config(tmp_path / "net_network")
    (age,) = (each for each in network.input if each.name == "age")
    assert (age.dims, age.reshape.shape) == ([1], [])


def test_an_engine_has_its_platform_and_profiles(tiny_bundle_factory: Any, tmp_path: Path, read_config: Read) -> None:
    (tmp_path / "engine").write_bytes(b"an engine")
    options = TritonOptions(name="net", plan=str(tmp_path / "engine"))
    written = write_triton(tiny_bundle_factory(batches=(1, 4)), tmp_path / "models", options)
    network = read_config(tmp_path / "models" / "net_network")
    assert (network.platform, network.default_model_filename) == ("tensorrt_plan", "model.plan")
    assert (network.instance_group[0].kind, network.instance_group[0].profile) == ("KIND_GPU", ["0", "1"])
    assert network.dynamic_batching is None
    assert (tmp_path / "models" / "net_network" / "1" / "model.plan").read_bytes() == b"an engine"
    assert any("exactly so many examples: 1, 4" in note for note in written.notes)


def test_cameras_may_be_missing_only_where_there_is_a_mask(
    tiny_bundle_factory: Any, tmp_path: Path, read_config: Read
) -> None:
    for mask in (False, True):
        write_triton(tiny_bundle_factory(mask=mask), tmp_path / str(mask), TritonOptions(name="net"))
        inputs = {each.name: each for each in read_config(tmp_path / str(mask) / "net").input}
        assert inputs.keys() == {"visible", "infrared", *(("present",) if mask else ())}
        assert {each.optional for each in inputs.values()} == {True if mask else None}


def test_sixteen_bits_are_of_the_cameras_that_have_them(
    single_bundle: Any, tiny_bundle_factory: Any, tmp_path: Path, read_config: Read
) -> None:
    write_triton(tiny_bundle_factory(), tmp_path / "models", TritonOptions(name="net", deep=("infrared",)))
    types = {each.name: each.data_type for each in read_config(tmp_path / "models" / "net_prepare").input}
    assert types == {"visible": "TYPE_UINT8", "infrared": "TYPE_UINT16"}
    windowed = single_bundle(image=ImageSpec(colour="rgb", window16=(7000, 9000)))
    assert any("--uint16" in note for note in write_triton(windowed, tmp_path / "other", TritonOptions()).notes)
    told = write_triton(windowed, tmp_path / "third", TritonOptions(deep=("visible",))).notes
    assert not any("--uint16" in note for note in told)


def test_text_is_escaped(parse_config: Callable[[str], Any]) -> None:
    name = 'a "quoted"\\name\nof two lines, ä\t'
    text = render((("name", name), ("input", (("data_type", Word("TYPE_FP32")), ("dims", [1, -1])))))
    assert text.isascii()
    config = parse_config(text)
    assert config.name == name
    assert (config.input[0].data_type, config.input[0].dims) == ("TYPE_FP32", [1, -1])


@pytest.mark.parametrize(
    "text",
    [
        'nam: "x"',
        "name: 3",
        'max_batch_size: "3"',
        'name: "x" name: "y"',
        "input { data_type: TYPE_FLOAT }",
        "input { dims: [1.5] }",
        'name: "x" }',
    ],
)
def test_the_reader_of_these_tests_can_refuse(text: str, parse_config: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_config(text)


@pytest.fixture(scope="session")
def published() -> Any:
    """Triton's schema as the package tritonclient carries it, loaded without the rest of that package."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or package.origin is None:
        pytest.skip("tritonclient is not installed: its model_config_pb2 has the published schema")
    place = Path(package.origin).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_published_schema_reads_them_too(repository: Any, published: Any) -> None:
    from google.protobuf import text_format

    folder, models, _ = repository
    for name in models:
        config = text_format.Parse((folder / name / "config.pbtxt").read_text(), published.ModelConfig())
        assert config.name == name


def test_the_table_is_that_of_the_published_schema(published: Any, config_schema: dict[str, dict[str, str]]) -> None:
    nested = {
        "Step": published.ModelEnsembling.Step,
        "StringEntry": published.ModelEnsembling.Step.InputMapEntry,
        "WarmupEntry": published.ModelWarmup.InputsEntry,
        "WarmupInput": published.ModelWarmup.Input,
    }
    for kind, fields in config_schema.items():
        descriptor = (nested.get(kind) or getattr(published, kind)).DESCRIPTOR
        for name, declared in fields.items():
            field = descriptor.fields_by_name[name]
            assert declared.endswith("*") == field.is_repeated, (kind, name)
            scalar = {field.TYPE_STRING: "string", field.TYPE_BOOL: "bool", field.TYPE_ENUM: "enum"}.get(field.type)
            if field.type == field.TYPE_MESSAGE:
                assert declared.rstrip("*") in config_schema
            elif scalar == "enum":
                assert declared in ("DataType", "Kind")
            else:
                assert declared.rstrip("*") == (scalar or "int"), (kind, name)
