"""`verify_bundle`: one line per check, and the golden inputs answered as the manifest says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgefer.bundle.arrays import encode_array
from edgefer.bundle.container import Bundle
from edgefer.bundle.verify import VerifyReport, verify_bundle
from edgefer.errors import EnvironmentMismatch, UsageError

pytest.importorskip("onnxruntime")

replace = msgspec.structs.replace


def changed(bundle: Bundle, members: dict[str, bytes] | None = None, **golden: Any) -> Bundle:
    """The bundle with other members and another golden part."""
    contents = {name: bundle.member(name) for name in bundle.members} | (members or {})
    assert bundle.manifest.golden is not None
    manifest = replace(bundle.manifest, golden=replace(bundle.manifest.golden, **golden))
    return Bundle.from_members(manifest, contents)


def outcome(report: VerifyReport) -> dict[str, bool]:
    return {check.name: check.passed for check in report.checks}


def test_a_good_bundle_passes_every_check(tiny_bundle_path: Path, tiny_bundle: Bundle) -> None:
    report = verify_bundle(tiny_bundle_path)
    assert report.passed
    assert report.digest == tiny_bundle.digest
    names = ["file", "layout", "schema", "digests", "consistency", "graph fused", "golden fused"]
    assert outcome(report) == dict.fromkeys(names, True)
    assert "4 inputs answered" in report.checks[-1].detail
    decoded = msgspec.json.decode(msgspec.json.encode(report), type=VerifyReport)
    assert decoded == report


def test_the_report_says_how_far_a_damaged_file_got(tiny_bundle_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.edgefer"
    assert outcome(verify_bundle(path)) == {"file": False}
    data = bytearray(tiny_bundle_path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = verify_bundle(path)
    assert outcome(report) == {"file": True, "layout": False}
    assert not report.passed
    assert report.digest == ""
    assert report.checks[-1].hint


def test_the_report_names_a_changed_member(tiny_bundle: Bundle, tmp_path: Path) -> None:
    from edgefer.bundle.layout import pack

    contents = {name: tiny_bundle.member(name) for name in ("manifest.json", *tiny_bundle.members)}
    contents["golden/expected.npy"] = contents["golden/expected.npy"][:-1] + b"?"
    path = tmp_path / "x.edgefer"
    path.write_bytes(pack(contents))
    report = verify_bundle(path)
    assert outcome(report)["digests"] is False
    assert "golden/expected.npy" in next(check.detail for check in report.checks if check.name == "digests")


def test_wrong_answers_fail_and_the_tolerance_decides(tiny_bundle: Bundle, tmp_path: Path) -> None:
    off = tiny_bundle.array("golden/expected.npy").copy()
    scale = max(1.0, float(np.abs(off).max()))
    off[2, 3] += np.float32(0.01 * scale)
    members = {"golden/expected.npy": encode_array(off)}
    report = verify_bundle(changed(tiny_bundle, members).write(tmp_path / "off.edgefer"))
    assert outcome(report)["golden fused"] is False
    assert "'logits' differs" in report.checks[-1].detail
    assert verify_bundle(changed(tiny_bundle, members, tolerance=0.011).write(tmp_path / "wide.edgefer")).passed


@pytest.mark.parametrize(
    ("member", "array", "says"),
    [
        ("golden/expected.npy", np.zeros((3, 5), np.float32), "shape (3, 5), expected (4, 5)"),
        ("golden/reference.npy", np.zeros((4, 4), np.float32), "shape (4, 4), expected (4, 5)"),
        ("golden/visible.npy", np.zeros((4, 3, 8, 9), np.float32), "shape (4, 3, 8, 9)"),
        ("golden/visible.npy", np.zeros((4, 3, 8, 8), np.int64), "int64"),
        ("golden/visible.npy", np.full((4, 3, 8, 8), np.nan, np.float32), "not finite"),
        ("golden/expected.npy", np.full((4, 5), np.inf, np.float32), "not finite"),
    ],
)
def test_golden_arrays_of_the_wrong_kind_fail(
    tiny_bundle: Bundle, tmp_path: Path, member: str, array: Any, says: str
) -> None:
    path = changed(tiny_bundle, {member: encode_array(array)}).write(tmp_path / "x.edgefer")
    report = verify_bundle(path)
    assert outcome(report)["golden fused"] is False
    assert says in report.checks[-1].detail


def test_golden_inputs_that_lack_one_fail(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = changed(tiny_bundle, inputs={"visible": "golden/visible.npy"}).write(tmp_path / "x.edgefer")
    assert "lack 'infrared'" in verify_bundle(path).checks[-1].detail


def test_golden_inputs_as_codes(tiny_bundle: Bundle, tmp_path: Path, tiny_logits: Callable[..., Any]) -> None:
    codes = np.random.default_rng(3).integers(0, 256, (4, 3, 8, 8), np.uint8)
    inputs = {"visible": codes / np.float32(255), "infrared": tiny_bundle.array("golden/infrared.npy")}
    expected = tiny_logits(inputs).astype(np.float32)
    members = {"golden/visible.npy": encode_array(codes), "golden/expected.npy": encode_array(expected)}
    assert verify_bundle(changed(tiny_bundle, members).write(tmp_path / "x.edgefer")).passed


def test_a_graph_that_is_no_onnx_fails(plain_bundle: Bundle, tmp_path: Path) -> None:
    report = verify_bundle(plain_bundle.write(tmp_path / "x.edgefer"))
    assert outcome(report)["graph fused"] is False
    assert "onnxruntime cannot load" in report.checks[-1].detail


def test_a_bundle_without_golden_inputs_says_so(tiny_bundle_factory: Callable[..., Bundle], tmp_path: Path) -> None:
    report = verify_bundle(tiny_bundle_factory(golden=0).write(tmp_path / "x.edgefer"))
    assert report.passed
    assert "has none" in next(check.detail for check in report.checks if check.name == "golden inputs")


@pytest.mark.parametrize("options", [{"mask": True}, {"batches": (3,)}, {"batches": (1, 4)}])
def test_masks_and_batches(tiny_bundle_factory: Callable[..., Bundle], tmp_path: Path, options: dict[str, Any]) -> None:
    assert verify_bundle(tiny_bundle_factory(**options).write(tmp_path / "x.edgefer")).passed


def test_a_mask_left_out_says_that_all_cameras_are_there(
    tiny_bundle_factory: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = tiny_bundle_factory(mask=True)
    inputs = {"visible": "golden/visible.npy", "infrared": "golden/infrared.npy"}
    assert verify_bundle(changed(bundle, inputs=inputs).write(tmp_path / "x.edgefer")).passed


def test_what_this_machine_lacks_is_not_the_bundles_fault(
    tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EnvironmentMismatch, match="tensorrt"):
        verify_bundle(tiny_bundle_path, device="tensorrt")
    with pytest.raises(UsageError):
        verify_bundle(tiny_bundle_path, device="abacus")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentMismatch, match="onnxruntime"):
        verify_bundle(tiny_bundle_path)
