"""The binaries in the tree are those of the sources in the tree, and what the drivers they are for take."""

from __future__ import annotations

import ctypes
import importlib
import lzma
import pkgutil
from pathlib import Path

import pytest

import edgefer.kernels
from edgefer.errors import CompileError, EnvironmentMismatch
from edgefer.kernels.cubins import FOLDER, INDEX, Binary, choose, index, read
from edgefer.kernels.entries import ENTRIES
from kernels.tools import cubins, elf, limits, ptx
from kernels.tools.limits import Use
from kernels.tools.nvrtc import TARGETS

HINT = "the binaries are not of these sources: make cubins"
NAMES = [target.name for target in TARGETS]
CUBINS = [target.name for target in TARGETS if target.kind == "cubin"]


def target_of(binary: Binary) -> str:
    return binary.file.split(".")[0]


def stored(name: str) -> Binary:
    return next(binary for binary in index().binaries if target_of(binary) == name)


def test_the_binaries_are_of_these_sources() -> None:
    assert index().source_sha256 == cubins.digest(), HINT


def test_every_target_has_its_file_and_nothing_else_lies_there() -> None:
    assert [target_of(binary) for binary in index().binaries] == NAMES
    assert {path.name for path in FOLDER.iterdir()} == {INDEX, *(binary.file for binary in index().binaries)}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_small_and_holds_what_the_index_says(name: str) -> None:
    binary = stored(name)
    raw = read(binary)
    assert (len(raw), (FOLDER / binary.file).stat().st_size) == (binary.raw_bytes, binary.bytes)
    assert binary.bytes <= cubins.LIMIT
    target = next(each for each in TARGETS if each.name == target_of(binary))
    assert cubins.uses(target, raw) == binary.entries
    assert (binary.toolkit, binary.exact) == (target.toolkit.version, target.exact)
    # The same bytes wherever they are made: no path of a machine is in them.
    for path in (str(Path.cwd()), "/site-packages/", "kernels/include"):
        assert path.encode() not in raw


@pytest.mark.parametrize("name", NAMES)
def test_a_binary_has_all_entries_and_no_others(name: str) -> None:
    binary = stored(name)
    assert {entry.name for entry in binary.entries} == set(ENTRIES), HINT


def test_the_binaries_have_the_abi_that_their_drivers_take() -> None:
    abi = {}
    for name in CUBINS:
        raw = read(stored(name))
        abi[name] = (raw[7], raw[8])
    # JetPack 6.2 has a driver of CUDA 12.6, which takes nothing of a later major version.
    assert abi == {"sm_87": (0x33, 7), "sm_90": (0x33, 7), "sm_110": (0x41, 8)}


def test_the_ptx_is_for_every_gpu_from_ampere_on_and_old_enough_for_the_oldest_driver() -> None:
    text = ptx.read(read(stored("compute_80")).decode())
    assert text.version <= (8, 5)
    assert text.target == 80


@pytest.mark.parametrize(("gpu", "file"), [("8.7", "sm_87"), ("9.0", "sm_90"), ("11.0", "sm_110")])
def test_the_devices_that_edgefer_is_for_have_binaries_of_their_own(gpu: str, file: str) -> None:
    assert target_of(choose(gpu, index())) == file


@pytest.mark.parametrize("gpu", ["8.0", "8.6", "8.9", "10.0", "12.0"])
def test_other_gpus_take_the_ptx(gpu: str) -> None:
    assert choose(gpu, index()).kind == "ptx"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_size_of_their_python_twins(name: str) -> None:
    binary = stored(name)
    sizes = {}
    for module in pkgutil.iter_modules(edgefer.kernels.__path__):
        for name, value in vars(importlib.import_module(f"edgefer.kernels.{module.name}")).items():
            if isinstance(value, type) and issubclass(value, ctypes.Structure):
                sizes[name] = ctypes.sizeof(value)
    expected = {name: sizes[entry.parameters.split("::")[-1]] for name, entry in ENTRIES.items()}
    assert {entry.name: entry.parameter_bytes for entry in binary.entries} == expected


@pytest.mark.parametrize("name", CUBINS)
def test_what_is_shipped_keeps_to_the_limits(name: str) -> None:
    binary = stored(name)
    uses = {}
    for entry in binary.entries:
        assert entry.registers is not None
        assert entry.shared_bytes is not None
        assert entry.local_bytes is not None
        assert 10 <= entry.registers <= 255
        uses[entry.name] = Use(entry.registers, entry.shared_bytes, entry.local_bytes)
    assert limits.violations(uses, target_of(binary), limits.load()) == []


def test_a_cubin_of_another_abi_is_refused() -> None:
    orin, thor = TARGETS[0], TARGETS[2]
    raw = read(stored("sm_87"))
    with pytest.raises(CompileError, match="ABI 0x33, 7; expected"):
        cubins.uses(thor, raw)
    newer = raw[:7] + bytes([0x41, 8]) + raw[9:]
    with pytest.raises(CompileError, match="ABI 0x41, 8"):
        cubins.uses(orin, newer)


def test_ptx_that_is_too_new_is_refused() -> None:
    raw = read(stored("compute_80")).replace(b".version 8.", b".version 9.", 1)
    with pytest.raises(CompileError, match="newer than"):
        cubins.uses(TARGETS[3], raw)


def test_missing_entries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    some = dict(list(ENTRIES.items())[1:])
    monkeypatch.setattr(cubins, "ENTRIES", some)
    with pytest.raises(CompileError, match=next(iter(ENTRIES))):
        cubins.uses(TARGETS[0], read(stored("sm_87")))


def test_a_change_of_any_header_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cubins.digest()
    for path in sorted(cubins.INCLUDE.rglob("*.*")):
        copy = tmp_path / path.relative_to(cubins.INCLUDE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(cubins, "INCLUDE", tmp_path)
    assert cubins.digest() == before
    for path in sorted(tmp_path.rglob("*.*")):
        text = path.read_text()
        path.write_text(text + "\n")
        assert cubins.digest() != before, path
        path.write_text(text)


def test_differences_are_told_by_file() -> None:
    made = {target_of(binary): read(binary) for binary in index().binaries}
    stale = [] if index().source_sha256 == cubins.digest() else ["the index is of other sources"]
    assert cubins.differences(made) == stale
    # Behind the last section, where no reader looks.
    made["sm_90"] += b"\0"
    assert cubins.differences(made) == [*stale, "sm_90.cubin.xz holds other bytes"]


def test_packing_can_be_undone() -> None:
    assert lzma.decompress(cubins.pack(b"code" * 1000)) == b"code" * 1000


def test_damaged_cubins_are_refused() -> None:
    raw = read(stored("sm_87"))
    for bad in (b"", b"\x7fELF", raw[:100], raw[: len(raw) // 2], b"\x7fELF\x01\x01" + raw[6:]):
        with pytest.raises(elf.NotACubin):
            elf.read(bad)
    for_x86 = raw[:18] + (62).to_bytes(2, "little") + raw[20:]
    with pytest.raises(elf.NotACubin, match="machine 62"):
        elf.read(for_x86)


def test_what_is_no_ptx_is_refused() -> None:
    with pytest.raises(ValueError, match="no PTX"):
        ptx.read("int main() {}")


def test_a_missing_index_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch):
        cubins.differences({}, tmp_path)
