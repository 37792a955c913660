"""The page on frames and views: its code runs, and its links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "stand_ins" / "gpu"))
sys.path.append(str(Path(__file__).parents[1] / "edgefer" / "stand_ins"))

from simulated_session import tiny

from edgefer.runtime import view
from edgefer.runtime.session import Session

for needed in ("cv2", "onnx", "onnxruntime"):
    pytest.importorskip(needed)

PAGE = Path(__file__).parents[2] / "docs" / "preprocessing.md"


def test_the_code_runs() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (720, 640), np.uint8)
    frame = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    with Session(tiny().make_tiny_bundle(tiny().TinyNetwork(size=32)), device="cpu") as session:
        space = {
            "session": session,
            "frame": frame,
            "heat": np.full((240, 320), 9000, np.uint16),
            "rows": rows,
            "luma": rows[:480],
            "chroma": rows[480:].reshape(240, 320, 2),
        }
        for block in found:
            exec(block, space)
            assert space["estimate"].label in session.labels  # type: ignore[attr-defined]
        # What is seen is the face, and not the whole frame.
        whole = session.infer_images(visible=frame, infrared=space["heat"])  # type: ignore[arg-type]
        assert not np.allclose(whole.logits, space["estimate"].logits)  # type: ignore[attr-defined]


def test_the_functions_are_there() -> None:
    for name in re.findall(r"^\| `(?:view\.)?(\w+)\(", PAGE.read_text(), re.MULTILINE):
        assert hasattr(view, name) or hasattr(view.View, name), name


def test_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([\w.-]*\.md)?(#[\w-]+)?\)", PAGE.read_text()):
        other = PAGE.parent / target if target else PAGE
        assert other.is_file(), target
        headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor[1:] in slugs, (target, anchor)
