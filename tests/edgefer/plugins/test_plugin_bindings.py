"""The plugins with the Python bindings of several TensorRTs, over libraries that do nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from real_bindings import MODULE, ROOT, VERSIONS, answer_of, environment, needs_stubs

from edgefer.plugins.fields import FIELDS

CHILD = Path(__file__).with_name("bindings_child.py")

OFFERED = {
    "tensorrt FLOAT 32": ["LINEAR", "HWC"],
    "tensorrt FLOAT 9": ["LINEAR"],
    "tensorrt HALF 32": ["LINEAR", "HWC8"],
    "tensorrt HALF 12": ["LINEAR"],
    "tensorrt INT8 32": ["CHW32"],
    "tensorrt INT32 32": [],
    "tensorrt_rtx FLOAT 32": ["HWC"],
    "tensorrt_rtx FLOAT 9": ["LINEAR"],
    "tensorrt_rtx HALF 32": ["HWC"],
    "tensorrt_rtx HALF 12": ["LINEAR"],
    "tensorrt_rtx INT8 32": ["CHW32"],
    "tensorrt_rtx INT32 32": [],
}


def judge(answer: dict[str, Any]) -> None:
    assert answer["missing"] == []
    assert answer["offered"] == OFFERED
    for name, fields in FIELDS.items():
        found = answer["serialised"][name]
        assert found["declared"] == [each.name for each in fields]
        values = {"int32": 3, "float32": 0.25, "char": "hard_sigmoid"}
        assert found["stored"] == [
            [each.name, each.type.upper(), 13 if each.type == "char" else 1, values[each.type]] for each in fields
        ]
        assert found["timing_cache_id"]
    words = "has relu as FLOAT32 with 1 entries, expected INT32 with 1"
    assert answer["refused"] == {
        "BUILD": f"CompileError: the node of edgefer::CbamAttention {words}",
        "RUNTIME": f"EngineIncompatible: the engine's edgefer::CbamAttention {words}",
    }
    run = answer["run"]
    assert run["workspace"] >= 0
    assert (run["type"], run["axes"], run["added"]) == ("HALF", [4, 2], ["SUM"])
    assert 3 in run["grid"]  # the batch
    assert (run["addresses"], run["stream"]) == ([16, 32, 48, 64, 80, 96], 7)


@pytest.mark.parametrize("version", [pytest.param(version, marks=needs_stubs) for version in VERSIONS])
def test_bindings(version: str, tmp_path: Path) -> None:
    answer = answer_of(CHILD, MODULE, environment(version, tmp_path))
    assert answer["version"].startswith(version.rsplit(".", 1)[0])
    judge(answer)


def test_bindings_of_tensorrt_rtx() -> None:
    pytest.importorskip("tensorrt_rtx")
    judge(answer_of(CHILD, "tensorrt_rtx", {"PYTHONPATH": str(ROOT)}))


def test_the_table_of_what_is_used_is_complete() -> None:
    table = re.search(r"USED: .*?^\}", CHILD.read_text(), re.DOTALL | re.MULTILINE)
    assert table is not None
    listed = set(re.findall(r'^    "(\w+)":', table[0], re.MULTILINE))
    used: set[str] = set()
    for path in (ROOT / "edgefer" / "plugins").rglob("*.py"):
        used |= set(re.findall(r"\b(?:trt|flavour\.module)\.(\w+)", path.read_text()))
    assert used
    assert used <= listed
