"""Reading /proc and /sys: an answer or None, never an exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.kernel_files import entries, field, integer, memory, numbers, text


def test_what_is_absent_or_no_file_is_none(tmp_path: Path) -> None:
    assert text(tmp_path / "absent") is None
    assert text(tmp_path) is None  # a folder
    assert integer(tmp_path / "absent") is None
    assert field(tmp_path / "absent", "x") is None
    assert memory("MemTotal", tmp_path) is None
    assert entries(tmp_path / "absent", "*") == ()


def test_a_sensor_that_is_asleep_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asleep(self: Path) -> bytes:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(Path, "read_bytes", asleep)
    assert integer(tmp_path / "temp") is None


@pytest.mark.parametrize(("content", "expected"), [("42\n", 42), ("-5", -5), ("7 mA", 7), ("", None), ("<none>", None)])
def test_the_number_that_a_file_begins_with(tmp_path: Path, content: str, expected: int | None) -> None:
    (tmp_path / "value").write_text(content)
    assert integer(tmp_path / "value") == expected


def test_strings_of_the_device_tree_end_with_a_zero_byte(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"NVIDIA Jetson\0")
    assert text(tmp_path / "model") == "NVIDIA Jetson"


def test_folders_come_in_the_order_a_person_counts(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        (tmp_path / f"hwmon{number}").mkdir()
    assert [each.name for each in entries(tmp_path, "hwmon*")] == ["hwmon0", "hwmon2", "hwmon10"]


@pytest.mark.parametrize(
    ("ranges", "expected"), [("0-3,8", (0, 1, 2, 3, 8)), ("5", (5,)), ("", ()), ("0-", (0,)), ("all", ()), ("1,x", ())]
)
def test_lists_of_cpus(ranges: str, expected: tuple[int, ...]) -> None:
    assert numbers(ranges) == expected


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:        8000 kB\nMemAvailable:    4000 kB\nHugePages_Total: x\n")
    assert memory("MemAvailable", tmp_path) == 4000 * 1024
    assert memory("HugePages_Total", tmp_path) is None
