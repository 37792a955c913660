"""What is asked of a launch before it runs, and the machinery around it."""

from __future__ import annotations

import ctypes
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_kernels
import pytest
from planted_kernels import COUNT, PlantedParams, plan, run, x

from edgefer.errors import CompileError, EnvironmentMismatch
from edgefer.kernels.plan import HOPPER, Entry, Plan
from kernels.cases.case import Buffer
from kernels.tools import toolchain as toolchain_module
from kernels.tools.emulator import SCHEDULES, Emulator
from kernels.tools.faults import KINDS, EmulationFault
from kernels.tools.guarded import Guarded
from kernels.tools.host_build import Variant
from kernels.tools.includes import included
from kernels.tools.sources import translation_unit
from kernels.tools.toolchain import HOST, INCLUDE, Toolchain


def _changed(**fields: object) -> Plan:
    asked = plan("rotate")
    return replace(asked, launches=(replace(asked.launches[0], **fields),))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (_changed(entry="planted_nothing"), "not among the"),
        (_changed(block=32), "32 threads, but the entry is made for 64"),
        (_changed(grid=(0, 1, 1)), "grid (0, 1, 1), beyond"),
        (_changed(grid=(1, 65_536, 1)), "grid (1, 65536, 1), beyond"),
        (_changed(shared_bytes=HOPPER.shared_bytes + 1), "232449 bytes of shared memory, beyond 232448"),
    ],
)
def test_a_launch_that_no_gpu_takes(planted: Emulator, wanted: Plan, words: str) -> None:
    with pytest.raises(EmulationFault) as caught:
        run(planted, wanted)
    assert caught.value.kind == "launch"
    assert words in str(caught.value)


def test_parameters_of_another_size(planted: Emulator) -> None:
    class Short(ctypes.Structure):
        _fields_ = PlantedParams._fields_[:-1]

    wanted = replace(plan("rotate"), parameters={})
    with pytest.raises(EmulationFault, match=r"parameters of 40 bytes in Python, of 48 in C\+\+"):
        planted.run(wanted, Short, {"x": x()}, {"y": Buffer((COUNT,), np.float32)})


def test_the_portable_fibers_do_the_same(planted: Emulator) -> None:
    portable = Emulator.build(
        planted_kernels.ENTRIES, variant=Variant(include=planted_kernels.FOLDER, ucontext=True), limit_s=0.25
    )
    for schedule in SCHEDULES:
        for kernel in ("rotate", "reuse", "copies", "order"):
            answers = [run(each, plan(kernel), schedule, seed=3)["y"] for each in (planted, portable)]
            assert np.array_equal(*answers)
        for kernel in ("reads_past", "ragged_shuffle", "endless", "large_frame", "two_barriers"):
            with pytest.raises(EmulationFault) as expected:
                run(planted, plan(kernel, 40 if kernel != "endless" else 0), schedule)
            with pytest.raises(EmulationFault) as found:
                run(portable, plan(kernel, 40 if kernel != "endless" else 0), schedule)
            assert found.value.kind == expected.value.kind


def test_code_that_does_not_compile(host: Toolchain, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/broken.cuh").write_text(
        '#include "edgefer/platform.cuh"\nstruct P { int n; };\n__shared__ int s;\n'
    )
    entry = Entry("broken", "broken/broken.cuh", "nothing", "P", 32)
    with pytest.raises(CompileError) as caught:
        Emulator.build([entry], variant=Variant(include=tmp_path, root=tmp_path / "build"))
    assert "EDGEFER_SHARED_is_the_only_shared_memory" in str(caught.value)


def test_no_compiler_and_no_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = toolchain_module.toolchain.__wrapped__
    monkeypatch.setattr(toolchain_module, "_cuda_folders", lambda: iter([tmp_path]))
    monkeypatch.setenv("CXX", str(tmp_path / "absent"))
    with pytest.raises(EnvironmentMismatch, match=r"no g\+\+ was found"):
        find()
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 13.2.0\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(EnvironmentMismatch, match=r"cuda_fp16\.h"):
        find()
    for name in ("cuda_fp16.h", "crt/host_defines.h", "cccl/nv/target"):
        with pytest.raises(EnvironmentMismatch, match="nvidia-cuda-crt"):
            find()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find() == Toolchain(str(compiler), "13.2.0", tmp_path)


def test_one_source_for_gpu_and_host() -> None:
    entries = [Entry("a", "first.cuh", "edgefer::f<float>", "P", 128), Entry("b", "x/second.cuh", "g", "Q", 256)]
    gpu, host = translation_unit(entries, host=False), translation_unit(entries, host=True)
    for text in (gpu, host):
        assert text.startswith('#include "edgefer/first.cuh"\n#include "x/second.cuh"\n')
    assert 'extern "C" __global__ void __launch_bounds__(128, 8) a(EDGEFER_PARAMETERS P p) {' in gpu
    assert " { edgefer::f<float>(p); }" in gpu
    assert 'extern "C" void b(const void* p) { g(*static_cast<const Q*>(p)); }' in host
    assert '{"b", &b, sizeof(Q)},' in host
    assert "edgefer_host" not in gpu


def test_what_a_header_is_made_of(tmp_path: Path) -> None:
    (tmp_path / "edgefer").mkdir()
    (tmp_path / "edgefer/a.cuh").write_text('#include "b.h"\n#include <cmath>\n  #  include "c.h"\n// #include "d.h"\n')
    (tmp_path / "edgefer/b.h").write_text('#include "a.cuh"\n#include "absent.h"\n')
    (tmp_path / "c.h").touch()
    (tmp_path / "d.h").touch()
    assert set(included("edgefer/a.cuh", [tmp_path])) == {"edgefer/a.cuh", "edgefer/b.h", "c.h"}
    assert included("absent.cuh", [tmp_path]) == {}
    assert "edgefer_host.hpp" in included("edgefer/numeric.cuh", [INCLUDE, HOST])


def test_a_changed_header_is_compiled_anew(host: Toolchain, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    source = (
        '#include "edgefer/platform.cuh"\nstruct P { float* y; };\n'
        "EDGEFER_DEVICE void store(const P& p) { p.y[threadIdx.x] = 1.0f; }\n"
    )

    class Address(ctypes.Structure):
        _fields_ = (("y", ctypes.c_void_p),)

    wanted = Plan((replace(plan("rotate").launches[0], entry="one", block=32, grid=(1, 1, 1)),), {})
    answers = []
    for value in ("1.0f", "2.0f"):
        (tmp_path / "one/one.cuh").write_text(source.replace("1.0f", value))
        entry = Entry("one", "one/one.cuh", "store", "P", 32)
        emulator = Emulator.build([entry], variant=Variant(include=tmp_path, root=tmp_path / "build"))
        answers.append(emulator.run(wanted, Address, {}, {"y": Buffer((32,), np.float32)})["y"][0])
    assert answers == [1.0, 2.0]


def test_a_fault_crosses_processes() -> None:
    for kind in KINDS:
        fault = EmulationFault(kind, "kernel", "what", block=(1, 2, 3), thread=4)
        copy = pickle.loads(pickle.dumps(fault))
        assert (str(copy), copy.kind, copy.block, copy.thread) == (str(fault), kind, (1, 2, 3), 4)
        assert "block (1, 2, 3), thread 4" in str(fault)
        assert fault.hint


@pytest.mark.parametrize("size", [0, 1, 15, 16, 4095, 4096, 10_001])
def test_guarded_memory_says_where_an_address_lies(size: int) -> None:
    memory = Guarded("x", size)
    try:
        assert memory.address % 16 == 0
        assert memory.place(memory.address + size) == f"0 bytes past the end of `x` ({size} bytes)"
        assert memory.place(memory.address - 4) == "4 bytes before `x`"
        assert memory.place(memory.address + 10**6) == ""
        assert memory.get((size,), np.uint8).tolist() == [255] * size
        assert not memory.stray()
        if size % 16:
            ctypes.memset(memory.address + size, 0, 1)
            assert memory.stray()
    finally:
        memory.close()
