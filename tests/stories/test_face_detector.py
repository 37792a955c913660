"""A face detector as its author exported it, through INT8, still finds every face.

The detector is the 320 × 240 one of Ultra-Light-Fast-Generic-Face-Detector-1MB (MIT): opset 9, scores (1, N, 2) and
boxes (1, N, 4) as corners in shares of the picture, RGB as (x - 127) / 128. The photographs are the Face Research Lab
London Set (DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666, CC BY 4.0).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxsim")
cv2 = pytest.importorskip("cv2")
ort = pytest.importorskip("onnxruntime")

from edgefer.runtime.preprocess import Preprocessor  # noqa: E402
from edgefer.runtime.session import Session  # noqa: E402
from edgefer_export.build import build  # noqa: E402
from edgefer_export.spec import BuildSpec  # noqa: E402

SURE = 0.7
"""The score from which the detector's author draws a box."""

LEAST_OVERLAP = 0.6

Box = np.ndarray


@pytest.fixture(scope="module")
def data() -> Path:
    folder = Path(os.environ.get("EDGEFER_TEST_DATA", ""))
    if not os.environ.get("EDGEFER_TEST_DATA") or not (folder / "face_detector").is_dir():
        pytest.skip("EDGEFER_TEST_DATA names no folder with face_detector")
    return folder


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("detector") / "detector.edgefer"
    fields = {
        "network": str(data / "face_detector" / "version-slim-320.onnx"),
        "calibration": str(data / "london_faces"),
        "precision": "int8",
        "preprocess": ["colour=rgb", "range=0,255", "mean=127,127,127", "std=128,128,128"],
        "flavour": "none",
        "output": str(output),
    }
    result = build(BuildSpec.from_fields(fields))
    assert result.verdict == "numeric"
    return output


@pytest.mark.parametrize("device", ["onnxruntime", "openvino"])
def test_every_face_is_still_found(bundle: Path, data: Path, device: str) -> None:
    if device == "openvino":
        pytest.importorskip("openvino")
    reference = ort.InferenceSession(
        str(data / "face_detector" / "version-slim-320.onnx"), providers=["CPUExecutionProvider"]
    )
    photographs = sorted((data / "london_faces").glob("*/*.jpg"))
    assert len(photographs) == 80
    missed = []
    with Session(bundle, device=device) as session:
        (spec,) = session.graph.inputs
        prepare = Preprocessor(spec)
        for path in photographs:
            image = cv2.imread(str(path))
            # What the file expects, by the plainest means there are.
            small = cv2.cvtColor(cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
            plain = ((small.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
            scores, boxes = reference.run(["scores", "boxes"], {reference.get_inputs()[0].name: plain})
            sure, expected = _best(scores, boxes)
            found = session.run({spec.name: prepare(image)})
            score, box = _best(found["scores"], found["boxes"])
            assert sure >= SURE, path
            if score < SURE or _overlap(box, expected) < LEAST_OVERLAP:
                missed.append((path.name, round(score, 2), round(_overlap(box, expected), 2)))
    assert not missed


def _best(scores: np.ndarray, boxes: np.ndarray) -> tuple[float, Box]:
    """The highest score of a face, and its box."""
    place = int(scores[0, :, 1].argmax())
    return float(scores[0, place, 1]), boxes[0, place]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)
