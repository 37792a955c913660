"""One rule for images from the specification to a session: the same tensors in calibration, evaluation, inference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")

from onnx import TensorProto, helper  # noqa: E402

import edgefer  # noqa: E402
from edgefer.bundle.container import Bundle  # noqa: E402
from edgefer.bundle.golden import decode  # noqa: E402
from edgefer.bundle.manifest import ImageSpec  # noqa: E402
from edgefer.bundle.verify import verify_bundle  # noqa: E402
from edgefer.cli.main import main  # noqa: E402
from edgefer.errors import UsageError  # noqa: E402
from edgefer.progress import Silent  # noqa: E402
from edgefer_export import build as building  # noqa: E402
from edgefer_export import steps  # noqa: E402
from edgefer_export.data.feeds import Example, Feeds  # noqa: E402
from edgefer_export.foreign import Said, load_onnx  # noqa: E402
from edgefer_export.networks import registry  # noqa: E402
from edgefer_export.resolve import resolve  # noqa: E402
from edgefer_export.simplify import SimplifyResult  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402
from edgefer_export.train.cache import SampleCache  # noqa: E402

NETWORK = """
from torch import nn

def make():
    body = nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 2))
"""

TOML = """
network = "{network}"
output = "{output}"
calibration = "{data}/calibration"
evaluation = "{data}/evaluation"
precision = "int8"
flavour = "none"
exporter = "torchscript"
allow-over-budget = true
golden-from-data = true

[input]
face = "3x24x31"

[preprocess]
preset = "caffe"
fit = "letterbox"
resize = "bicubic"

[preprocess.face]
crop = [0.1, 0.0, 0.9, 1.0]
pad = [104, 117, 123]
equalise = "clahe"
clip-limit = 3.0
tiles = [4, 4]
"""

EXPECTED = ImageSpec(
    colour="bgr",
    range=(0.0, 255.0),
    mean=(104.0, 117.0, 123.0),
    crop=(0.1, 0.0, 0.8, 1.0),
    fit="letterbox",
    resize="bicubic",
    pad=(104, 117, 123),
    equalise="clahe",
    clip_limit=3.0,
    tiles=(4, 4),
    band="visible",
)


def plainly(image: Any) -> Any:
    """The tensor (3, 24, 31) that EXPECTED makes of a BGR image, step by step."""
    width = image.shape[1]
    image = image[:, int(0.1 * width + 0.5) : int(0.8 * width + 0.5)]
    scale = min(24 / image.shape[0], 31 / image.shape[1])
    size = int(image.shape[0] * scale + 0.5), int(image.shape[1] * scale + 0.5)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    parts = list(cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)))
    parts[0] = cv2.createCLAHE(3.0, (4, 4)).apply(parts[0])
    image = cv2.cvtColor(cv2.merge(parts), cv2.COLOR_YCrCb2BGR)
    tensor = np.zeros((3, 24, 31))
    top, left = (24 - size[0]) // 2, (31 - size[1]) // 2
    inner = image.transpose(2, 0, 1) - np.array([104.0, 117.0, 123.0])[:, None, None]
    tensor[:, top : top + size[0], left : left + size[1]] = inner
    return tensor


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour pictures of odd sizes in two classes, four of each; `calibration` and `evaluation` share none."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(5)
    for part in ("calibration", "evaluation"):
        for label in ("calm", "cross"):
            (root / part / label).mkdir(parents=True)
            for index in range(4):
                picture = rng.integers(0, 256, (41 + 6 * index, 57 - 5 * index, 3), dtype=np.uint8)
                assert cv2.imwrite(str(root / part / label / f"{index}.png"), cv2.GaussianBlur(picture, (5, 5), 0))
    return root


@pytest.fixture
def unsimplified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "simplify", lambda model: SimplifyResult(model, False, "not simplified: a test"))


def specification(folder: Path, data: Path) -> Path:
    (folder / "net.py").write_text(NETWORK)
    path = folder / "net.toml"
    path.write_text(TOML.format(network=f"{folder / 'net.py'}:make", output=folder / "net.edgefer", data=data))
    return path


def test_a_build_and_a_session_see_the_same_tensors(
    data: Path, tmp_path: Path, unsimplified: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, list[Any]] = {}

    class Watched(Feeds):
        def examples(self) -> Iterator[Example]:  # type: ignore[override]
            for example in super().examples():
                seen.setdefault(Path(self.dataset.source).name, []).append(example.tensors["face"])
                yield example

    monkeypatch.setattr(building, "Feeds", Watched)
    path = specification(tmp_path, data)
    spec = BuildSpec.from_toml(path, {"preprocess": ["face.crop=0.1,0,0.8,1"]})
    result = building.build(spec, Silent())
    assert result.bundle is not None
    bundle = Bundle.read(result.bundle)
    assert bundle.manifest.graphs[0].inputs[0].image == EXPECTED
    given: list[Any] = []
    with edgefer.load(result.bundle, device="cpu") as session:
        bound = session._binder.bind_preprocessed
        session._binder.bind_preprocessed = lambda tensors: given.append(tensors["face"]) or bound(tensors)  # type: ignore
        for part in ("calibration", "evaluation"):
            given.clear()
            paths = sorted((data / part).glob("*/*.png"))
            for file in paths:
                image = cv2.imread(str(file))
                session.infer_images(visible=image)
                np.testing.assert_allclose(given[-1][0], plainly(image), atol=1e-4)
            # Data sets are read more than once, and not always to their end.
            pictures = {tensor.tobytes() for tensor in given}
            assert len(pictures) == len(paths)
            assert {tensor.tobytes() for tensor in seen[part]} == pictures
    golden = bundle.manifest.golden
    assert golden is not None
    stored = decode(bundle.array(golden.inputs["face"]), bundle.manifest.graphs[0].inputs[0])
    np.testing.assert_allclose(stored[: len(given)], np.concatenate(given), atol=1e-4)
    assert main(["verify", str(result.bundle)]) == 0
    assert main(["inspect", str(result.bundle)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "crop: 0.1 to 0.8 of the width, 0 to 1 of the height",
        "resize: letterbox (centre) on 104, 117, 123, bicubic",
        "equalise: clahe, clip limit 3, 4x4 tiles",
        "range: 0 to 255",
        "mean: 104, 117, 123",
    ):
        assert line in shown


def test_training_sees_what_a_session_sees(data: Path) -> None:
    from edgefer.runtime.preprocess import Preprocessor
    from edgefer_export.data import open_dataset
    from edgefer_export.preprocess import with_preprocess

    inputs = registry.create("viri-visible", {"width": "0.125", "size": "32"}).inputs
    inputs = with_preprocess(inputs, {"": {"fit": "letterbox", "pad": 9, "equalise": "histogram"}}, "net")
    dataset = open_dataset(str(data / "evaluation"))
    ((tensors, _),) = SampleCache(dataset, inputs, Silent(), "").batches([np.arange(len(dataset))])
    preprocess = Preprocessor(inputs[0])
    for index in range(len(dataset)):
        expected = preprocess(dataset[index].images["visible"])[0]
        np.testing.assert_array_equal(tensors[inputs[0].name][index].numpy(), expected)


def test_registered_networks_take_what_does_not_contradict_them(tmp_path: Path) -> None:
    def of(**said: Any) -> BuildSpec:
        return BuildSpec(
            network="viri-fusion",
            options={"width": "0.125", "size": "32"},
            output=tmp_path / "out.edgefer",
            preprocess={"": said},
        )

    network = resolve(of(fit="letterbox", window16=(7000, 9000)), Silent()).network
    images = [spec.image for spec in network.inputs if spec.image is not None]
    assert [(image.fit, image.window16, image.mean) for image in images] == [("letterbox", (7000, 9000), ())] * 2
    with pytest.raises(UsageError, match="viri-fusion normalises inside its graph"):
        resolve(of(preset="imagenet"), Silent())


def onnx_file(folder: Path, element: int = TensorProto.FLOAT) -> Path:
    nodes = [
        helper.make_node("Cast", ["data"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["real"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", element, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_an_onnx_file_is_described_and_tried_in_its_range(tmp_path: Path) -> None:
    path = onnx_file(tmp_path)
    network = load_onnx(path, Said(preprocess={"data": {"preset": "caffe"}}))
    (image,) = [spec.image for spec in network.inputs]
    assert image is not None
    assert (image.colour, image.mean) == ("bgr", (104.0, 117.0, 123.0))
    noise = network.noise(network.inputs[0], 50, np.random.default_rng(1))
    assert noise.dtype == np.uint8
    assert (noise.min(), noise.max()) == (0, 255)
    tensors = decode(noise, network.inputs[0])
    assert tensors[:, 0].min() == -104
    assert tensors[:, 2].max() == 255 - 123
    with pytest.raises(UsageError, match=r"input `image`, which net.onnx does not have"):
        load_onnx(path, Said(preprocess={"image": {"fit": "stretch"}}))


def test_an_onnx_file_of_whole_numbers_stays_one(tmp_path: Path) -> None:
    path = onnx_file(tmp_path, TensorProto.UINT8)
    assert load_onnx(path, Said(preprocess={"": {"fit": "letterbox"}})).inputs[0].image is not None
    with pytest.raises(UsageError, match=r"`data` of net\.onnx takes whole numbers from 0 to 255"):
        load_onnx(path, Said(preprocess={"": {"preset": "imagenet"}}))


def test_a_bundle_is_not_described_again(tmp_path: Path, data: Path) -> None:
    bundle = tmp_path / "some.edgefer"
    bundle.write_bytes((Path(__file__).parents[1] / "edgefer" / "data" / "schema_1.bundle").read_bytes())
    with pytest.raises(UsageError, match="only compiled again, so --preprocess cannot apply"):
        BuildSpec(network=str(bundle), preprocess={"": {"fit": "letterbox"}})


def test_a_bundle_of_the_first_schema_still_answers() -> None:
    pytest.importorskip("onnxruntime")
    report = verify_bundle(Path(__file__).parents[1] / "edgefer" / "data" / "schema_1.bundle")
    assert all(check.passed for check in report.checks)
