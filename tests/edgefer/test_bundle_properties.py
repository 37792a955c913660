"""Whatever happens to the bytes of a bundle, it is found; whatever a manifest holds, it comes back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.bundle.arrays import decode_array, encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.layout import pack, unpack
from edgefer.bundle.manifest import (
    BudgetSpec,
    CalibrationSpec,
    GateSpec,
    GraphSpec,
    ImageSpec,
    InputSpec,
    Manifest,
    NetworkSpec,
    OutputSpec,
    PluginSpec,
    Provenance,
    StepFigure,
)
from edgefer.errors import BundleError


@pytest.fixture(scope="module")
def whole(plain_bundle: Bundle) -> bytes:
    return plain_bundle.to_bytes()


def test_every_single_byte_counts(whole: bytes) -> None:
    assert Bundle.from_bytes(whole)
    data = bytearray(whole)
    for position in range(len(data)):
        data[position] ^= 0xFF
        with pytest.raises(BundleError):
            Bundle.from_bytes(bytes(data))
        data[position] ^= 0xFF


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(whole: bytes, place: float, bit: int) -> None:
    data = bytearray(whole)
    data[int(place * len(data))] ^= 1 << bit
    with pytest.raises(BundleError):
        Bundle.from_bytes(bytes(data))


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_truncated_bundle_is_found(whole: bytes, place: float) -> None:
    with pytest.raises(BundleError):
        Bundle.from_bytes(whole[: int(place * len(whole))])


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1), piece=st.binary(min_size=1, max_size=40))
def test_bytes_put_in_are_found(whole: bytes, place: float, piece: bytes) -> None:
    position = int(place * len(whole))
    with pytest.raises(BundleError):
        Bundle.from_bytes(whole[:position] + piece + whole[position:])


@settings(max_examples=200, deadline=None)
@given(start=st.floats(0, 1), length=st.integers(1, 600), source=st.floats(0, 1))
def test_a_piece_copied_over_another_is_found(whole: bytes, start: float, length: int, source: float) -> None:
    data = bytearray(whole)
    to, of = int(start * len(whole)), int(source * len(whole))
    piece = whole[of : of + length]
    data[to : to + len(piece)] = piece
    if bytes(data) != whole:
        with pytest.raises(BundleError):
            Bundle.from_bytes(bytes(data))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_noise_is_not_a_bundle(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04"):
        with pytest.raises(BundleError):
            Bundle.from_bytes(start + data)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_noise_is_not_an_array(data: bytes) -> None:
    for start in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x20\x00{'descr': '<f4', "):
        with pytest.raises(BundleError):
            decode_array(start + data, "x.npy")


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,20}(/[A-Za-z0-9_][A-Za-z0-9._+-]{0,20}){0,3}", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(members=st.dictionaries(NAMES, st.binary(max_size=200), max_size=8))
def test_any_members_come_back(members: dict[str, bytes]) -> None:
    members = {**members, "manifest.json": b"{}"}
    data = pack(members)
    assert {name: bytes(content) for name, content in unpack(data).items()} == members
    assert pack(dict(reversed(members.items()))) == data


@settings(max_examples=100, deadline=None)
@given(
    shape=st.lists(st.integers(0, 4), max_size=5),
    kind=st.sampled_from(["float32", "float16", "float64", "uint8", "uint16", "int32", "int64"]),
    seed=st.integers(0, 99),
)
def test_any_array_comes_back(shape: list[int], kind: str, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 200, shape).astype(kind)
    decoded = decode_array(encode_array(array), "x.npy")
    assert decoded.shape == array.shape
    assert decoded.dtype == array.dtype
    assert (decoded == array).all()


TEXT = st.text(max_size=30)
WORD = st.text(min_size=1, max_size=12)
SHARE = st.floats(0, 1)
POSITIVE = st.floats(1e-6, 1e6)
TABLE = st.dictionaries(TEXT, TEXT, max_size=4)


@st.composite
def images(draw: st.DrawFn, channels: int) -> ImageSpec:
    low = draw(st.floats(-10, 10))
    begin = draw(st.integers(0, 65534))
    numbers = st.lists(st.floats(-5, 5), min_size=channels, max_size=channels).map(tuple)
    scales = st.lists(st.floats(0.01, 5), min_size=channels, max_size=channels).map(tuple)
    return ImageSpec(
        colour=draw(st.sampled_from(["rgb", "bgr"] if channels == 3 else ["grey"])),
        range=(low, low + draw(st.floats(0.1, 255))),
        mean=draw(st.just(()) | numbers),
        std=draw(st.just(()) | scales),
        window16=(begin, draw(st.integers(begin + 1, 65535))),
        crop=draw(st.sampled_from([(0.0, 0.0, 1.0, 1.0), (0.1, 0.25, 0.7, 1.0)])),
        fit=draw(st.sampled_from(["stretch", "letterbox", "centre-crop"])),
        keep=draw(st.floats(0.01, 1)),
        pad=draw(st.sampled_from([(0,), (114,) * channels])),
        align=draw(st.sampled_from(["centre", "top-left"])),
        resize=draw(st.sampled_from(["area-bilinear", "bilinear", "area", "nearest", "bicubic"])),
        grey=draw(st.sampled_from(["bt601", "bt709", "average"])),
        equalise=draw(st.sampled_from(["none", "histogram", "clahe"])),
        clip_limit=draw(st.floats(0.1, 256)),
        tiles=draw(st.tuples(st.integers(1, 256), st.integers(1, 256))),
        band=draw(st.sampled_from([None, "visible", "nir", "lwir"])),
    )


@st.composite
def inputs(draw: st.DrawFn, name: str, role: str, batch: int) -> InputSpec:
    if role == "present":
        return InputSpec(name=name, role="present", shape=(batch, 2))
    channels = draw(st.sampled_from([1, 3]))
    shape = (batch, channels, draw(st.integers(1, 512)), draw(st.integers(1, 512)))
    image = draw(st.none() | images(channels))
    return InputSpec(name=name, role=role, shape=shape, image=image)  # type: ignore[arg-type]


@st.composite
def graphs(draw: st.DrawFn, role: str, classes: int) -> GraphSpec:
    names = draw(st.lists(WORD, min_size=4, max_size=6, unique=True))
    batches = draw(st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True).map(tuple))
    roles = draw(st.lists(st.sampled_from(["visible", "infrared", "present"]), min_size=1, max_size=3, unique=True))
    outputs = [OutputSpec(name=names[0], role="logits", shape=(min(batches), classes))]
    if draw(st.booleans()):
        outputs.append(OutputSpec(name=names[-1], role="embedding", shape=(min(batches), draw(st.integers(1, 99)))))
    return GraphSpec(
        role=role,  # type: ignore[arg-type]
        member=f"graphs/{role}.onnx",
        inputs=tuple(draw(inputs(name, kind, min(batches))) for name, kind in zip(names[1:-1], roles, strict=False)),
        outputs=tuple(outputs),
        rate=draw(POSITIVE),
        batches=batches,
        operators=tuple(draw(st.lists(TEXT, max_size=3))),
    )


STEPS = st.builds(
    StepFigure,
    step=TEXT,
    count=st.integers(0, 10**6),
    correct=st.none() | st.integers(0, 10**6),
    mean_recall=st.none() | SHARE,
    worst_class=st.none() | TEXT,
    worst_recall=st.none() | SHARE,
    agreement=SHARE,
    max_error=POSITIVE,
)
GATES = st.builds(
    GateSpec,
    verdict=st.sampled_from(["pass", "fail", "undecided", "numeric", "not-run"]),
    reason=TEXT,
    budget=st.builds(BudgetSpec, accuracy=SHARE, recall=SHARE, class_recall=POSITIVE, agreement=SHARE),
    steps=st.lists(STEPS, max_size=3).map(tuple),
    data_digest=TEXT,
    data_count=st.integers(0, 10**6),
    blamed_step=st.none() | TEXT,
    images_to_decide=st.none() | st.integers(0, 10**6),
    over_budget_allowed=st.booleans(),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    labels = draw(st.lists(WORD, min_size=1, max_size=8, unique=True).map(tuple))
    roles = draw(st.lists(st.sampled_from(["fused", "visible", "infrared"]), min_size=1, max_size=3, unique=True))
    calibration = st.builds(
        CalibrationSpec,
        digest=TEXT,
        count=st.integers(0, 10**6),
        method=st.sampled_from(["max", "entropy", "percentile"]),
        percentile=st.none() | st.floats(50, 100),
    )
    return Manifest(
        network=draw(st.builds(NetworkSpec, name=TEXT, options=TABLE, parameters=st.integers(0, 2**40), source=TEXT)),
        graphs=tuple(draw(graphs(role, len(labels))) for role in roles),
        labels=labels,
        precision=draw(st.sampled_from(["fp32", "fp16", "int8", "int8+fp16"])),
        gate=draw(GATES),
        provenance=draw(st.builds(Provenance, created=TEXT, tools=TABLE, sources=TABLE)),
        calibration=draw(st.none() | calibration),
        plugins=tuple(
            draw(st.lists(st.builds(PluginSpec, name=TEXT, version=TEXT, namespace=TEXT, count=st.integers(0, 99))))
        ),
        plugin_policy=draw(st.sampled_from(["auto", "plugin", "inline"])),
        temperature=draw(POSITIVE),
    )


@settings(max_examples=100, deadline=None)
@given(manifest=manifests(), weights=st.binary(max_size=50))
def test_any_manifest_comes_back(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest, weights: bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "any.edgefer"
    members = {graph.member: weights + str(graph.role).encode() for graph in manifest.graphs}
    bundle = Bundle.from_members(manifest, members)
    bundle.write(path)
    read = Bundle.read(path)
    assert read.manifest == bundle.manifest
    assert msgspec.structs.replace(read.manifest, members={}) == manifest
    assert {name: read.member(name) for name in read.members} == members
    assert read.digest == bundle.digest
    assert read.to_bytes() == path.read_bytes()
