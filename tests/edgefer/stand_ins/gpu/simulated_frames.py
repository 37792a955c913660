"""Frames for tests on a simulated GPU: a session that has the kernel, what pictures show, what inputs have to be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import session_checks as checks
import simulated_session as tiny
from numpy.typing import NDArray
from session_checks import Setting
from simulated_preprocess import register
from simulation import Simulation, simulate

from edgefer.kernels.preprocess_frame import Frame
from edgefer.runtime.frames import IMAGES
from edgefer.runtime.nv12 import Nv12
from edgefer.runtime.session import Session
from edgefer.runtime.view import View, fitted, over_box, through
from kernels.cases.preprocess_reference import Picture, values_of

SIZE = (8, 8)
SPECS = {str(spec.role): spec for spec in checks.BUNDLES[(1,)].manifest.graphs[0].inputs}
RANDOM = np.random.default_rng(0)
VISIBLE = RANDOM.integers(0, 256, (24, 31, 3), np.uint8)
LUMA, PAIRS = VISIBLE[..., 0].copy(), RANDOM.integers(0, 256, (12, 16, 2), np.uint8)
HEAT = RANDOM.integers(0, 65536, (17, 20), np.uint16)
GREY = HEAT.astype(np.uint8)
BOX = over_box((3.2, 4.1, 20.7, 19.9), SIZE, (24, 31), angle=0.3)
SHEAR = np.array([[2.1, 0.2, 0.3], [-0.1, 1.9, 0.7], [0.01, 0.02, 1.0]])
USUAL = Setting()
SETTINGS = {
    "pinned": USUAL,
    "mapped": Setting(integrated=True),
    "two streams, TensorRT 11": Setting(streams=2, version="11.4.1"),
}


@contextlib.contextmanager
def opened(setting: Setting = USUAL, **simulated: Any) -> Iterator[tuple[Session, Simulation]]:
    """A session on a GPU that has the kernel. At the end everything has to have been given back, in good order."""
    simulation = simulate(integrated=setting.integrated, version=setting.version, **simulated)
    register(simulation.gpu)
    with checks.prepared(simulation, setting) as open_session:
        session = open_session()
        try:
            yield session, simulation
        finally:
            session.close()
        checks.assert_given_back(simulation)


def tensor(role: str, planes: NDArray[Any], view: View | None, frame: Frame | None = None, pairs: Any = None) -> Any:
    """What an input has to be, exactly."""
    spec = SPECS[role]
    kind: Any = "y16" if planes.dtype == np.uint16 else "bgr8" if planes.ndim == 3 else "gray8"
    layout = frame or Frame(kind, *planes.shape[:2])
    assert spec.image is not None
    view = view or fitted(spec.image, SIZE, planes.shape[:2])
    matrix = view.to_source.astype(np.float32).astype(np.float64)
    picture = Picture(layout, planes, pairs, matrix, view.crop, view.samples)
    return values_of(picture, spec.image, spec.shape[1], SIZE)[0][None].astype(np.float32)


def logits(visible: Any, infrared: Any) -> Any:
    return tiny.logits({"visible": visible, "infrared": infrared})[0]


HEAT_TENSOR = tensor("infrared", HEAT, None)
THROUGH = through(SHEAR, SIZE, (24, 31))
FRAMES: dict[str, tuple[Any, Any, Any]] = {
    "BGR": (VISIBLE, None, tensor("visible", VISIBLE, None)),
    "one channel": (LUMA[..., None], None, tensor("visible", LUMA, None)),
    "a face box": (VISIBLE, BOX, tensor("visible", VISIBLE, BOX)),
    "a homography": (VISIBLE, SHEAR, tensor("visible", VISIBLE, THROUGH)),
    "NV12": (Nv12(LUMA, PAIRS), BOX, tensor("visible", LUMA, BOX, Frame("nv12", 24, 31), PAIRS)),
    "NV12, BT.709": (
        Nv12(LUMA, PAIRS, "bt709", full_range=True, site="left"),
        None,
        tensor("visible", LUMA, None, Frame("nv12", 24, 31, matrix="bt709", full_range=True, chroma="left"), PAIRS),
    ),
}


def captures(session: Session) -> int:
    found = session.info["counters"]
    assert isinstance(found, dict)
    return int(found["captures"])


class Rows:
    """A part of an array in GPU memory, whose rows have gaps."""

    def __init__(self, whole: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> None:
        said = whole.__cuda_array_interface__
        data = (said["data"][0] + offset, False)
        self.__cuda_array_interface__ = {**said, "shape": shape, "strides": strides, "data": data}


def settings_of(session: Session) -> str:
    found = session.info["settings"]
    assert isinstance(found, dict)
    return str(found[IMAGES])
