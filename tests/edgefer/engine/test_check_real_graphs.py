"""Facts against reality: graphs that others wrote, held against the facts of RTX, its parser and its builder.

Every disagreement stands here with its reason; a further one is a mistake in the facts.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from edgefer.engine.check import check
from edgefer.engine.compile import CompileRequest, compile_onnx
from edgefer.engine.support.graph import inputs_of
from edgefer.engine.support.reading import Graph, read_graph
from edgefer.engine.support.table import TARGETS
from edgefer.errors import BundleError, CompileError, InputError

DATA = Path(os.environ.get("EDGEFER_TEST_DATA", "nowhere"))
FILES = sorted([*(DATA / "onnx_conformance").glob("*.onnx"), *(DATA / "face_detector").glob("*.onnx")])
pytestmark = pytest.mark.skipif(not FILES, reason="EDGEFER_TEST_DATA names no folder of real graphs")
needs_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")

UNREADABLE = {"ext_weights.onnx": "the file with its weights was not published with it"}
DISAGREEMENTS = {
    "empty.onnx": "neither nodes nor outputs: the parser has nothing to object to, and there is nothing to build",
}
ACCEPTED_AND_NOT_BUILT = {
    "dynamic_identity.onnx": "dynamic sizes: a warning, because the parser takes it and edgefer does not",
    "inp_dim_val_not_set.onnx": "dynamic sizes: a warning, because the parser takes it and edgefer does not",
    "empty_tensor_expand.onnx": "an input is a shape, which needs a profile of values; edgefer's networks have none",
}
LEFT_OPEN = {
    "attention.onnx": "inputs without a number of dimensions",
    "attention_same_qkv.onnx": "inputs without a number of dimensions",
    "multi_attention.onnx": "inputs without a number of dimensions",
    "roialign.onnx": "its plugin needs a GPU",
}
REFUSED = {
    "capability.onnx": "FAKE!",
    "custom_op_node.onnx": "ai.onnx.contrib::NegPos",
    "empty.onnx": "no nodes",
    "loop.onnx": "counter",
    "nonzero.onnx": "NonZero",
    "qdq_conv.onnx": "zero point",
    "toy_subgraph.onnx": "O is no operator",
}


def graph(path: Path) -> Graph:
    if path.name in UNREADABLE:
        pytest.skip(UNREADABLE[path.name])
    return read_graph(path)


def test_weights_that_were_not_published_are_named() -> None:
    with pytest.raises(InputError, match=r"ext_weights\.data"):
        read_graph(DATA / "onnx_conformance" / "ext_weights.onnx")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_the_facts_say(path: Path) -> None:
    read = graph(path)
    found = check(read.data, "rtx", ask=None, folded=read)
    expected = "unknown" if path.name in LEFT_OPEN else "refused" if path.name in REFUSED else "accepted"
    assert found.table == expected, found.problems
    if expected == "refused":
        reasons = [each.reason for each in found.problems if each.severity == "refused"]
        assert any(REFUSED[path.name] in reason for reason in reasons), reasons


@needs_rtx
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_facts_and_parser_agree(path: Path) -> None:
    read = graph(path)
    found = check(read.data, "rtx", folded=read)
    assert found.parser is not None
    if path.name in LEFT_OPEN:
        return
    agreed = (found.table == "accepted") == found.parser.accepted
    assert agreed == (path.name not in DISAGREEMENTS), (found.problems, found.parser)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_accepted_is_built(path: Path) -> None:
    read = graph(path)
    accepted = check(read.data, "rtx", folded=read).verdict == "accepted"
    first = {each.shape[0] for each in inputs_of(read.model.graph).values() if each.shape}
    batches = tuple(size for size in first if isinstance(size, int) and size > 0) if len(first) == 1 else (1,)
    try:
        compile_onnx(read.data, CompileRequest("tensorrt_rtx", batches=batches or (1,)))
    except (BundleError, CompileError):
        assert not accepted or path.name in ACCEPTED_AND_NOT_BUILT
    else:
        assert accepted
        assert path.name not in ACCEPTED_AND_NOT_BUILT


@pytest.mark.parametrize("target", TARGETS)
def test_the_face_detector_is_taken_everywhere(target: str) -> None:
    for path in sorted((DATA / "face_detector").glob("*.onnx")):
        found = check(path, target, ask=None)
        assert found.verdict == "accepted", (path, found.problems)
