"""The real cuda.bindings, which can be imported without a GPU: all that is asked of it is there, and it converts every
argument, shown against a driver made up for the test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgefer.kernels import driver, launch, streams

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SOURCE = "".join(Path(str(module.__file__)).read_text() for module in (driver, launch, streams))
CALLS = sorted(set(re.findall(r'"(cu[A-Z]\w+)"|bindings\.(cu[A-Z]\w+)', SOURCE)))

# Parameters of the calls that take several, by the names of NVIDIA's reference, in the order in which they are passed.
SIGNATURES = {
    "cuLaunchKernel": "f gridDimX gridDimY gridDimZ blockDimX blockDimY blockDimZ sharedMemBytes hStream kernelParams "
    "extra",
    "cuModuleLoadDataEx": "image numOptions options optionValues",
    "cuModuleGetFunction": "hmod name",
    "cuFuncSetAttribute": "hfunc attrib value",
    "cuDeviceGetAttribute": "attrib dev",
    "cuMemcpyHtoDAsync": "dstDevice srcHost ByteCount hStream",
    "cuMemcpyDtoHAsync": "dstHost srcDevice ByteCount hStream",
    "cuMemcpyDtoDAsync": "dstDevice srcDevice ByteCount hStream",
    "cuMemsetD8Async": "dstDevice uc N hStream",
    "cuStreamCreateWithPriority": "flags priority",
    "cuStreamWaitEvent": "hStream hEvent Flags",
    "cuStreamBeginCapture": "hStream mode",
    "cuGraphInstantiate": "hGraph flags",
    "cuGraphLaunch": "hGraphExec hStream",
    "cuEventRecord": "hEvent hStream",
    "cuEventElapsedTime": "hStart hEnd",
}


@pytest.fixture(scope="module")
def cuda() -> Any:
    return pytest.importorskip("cuda.bindings.driver", exc_type=ImportError)


def test_the_calls_were_found() -> None:
    assert {"cuLaunchKernel", "cuInit", "cuMemAlloc", "cuGraphInstantiate"} <= names()


def names() -> set[str]:
    return {first or second for first, second in CALLS}


def test_every_call_and_constant_exists(cuda: Any) -> None:
    assert [name for name in sorted(names()) if not callable(getattr(cuda, name, None))] == []
    for enumeration, member in re.findall(r"\.(CU[a-zA-Z]\w+)\.(CU_?[A-Z]\w+)", SOURCE):
        assert hasattr(getattr(cuda, enumeration), member), f"{enumeration}.{member}"
    for member in ("COMPUTE_CAPABILITY_MAJOR", "MULTIPROCESSOR_COUNT", "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"):
        assert hasattr(cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{member}")
    for member in re.findall(r"option\.(CU_JIT_\w+)", SOURCE):
        assert hasattr(cuda.CUjit_option, member)
    for member in re.findall(r"attribute\.(CU_FUNC_\w+)", SOURCE):
        assert hasattr(cuda.CUfunction_attribute, member)


@pytest.mark.parametrize("call", sorted(SIGNATURES))
def test_parameters_are_those_that_are_passed(cuda: Any, call: str) -> None:
    found = re.match(rf"{call}\((.*?)\)\s*(?:->|$)", str(getattr(cuda, call).__doc__).strip().splitlines()[0])
    assert found is not None
    parameters = re.sub(r"\[[^\]]*\]", "", found[1]).split(",")
    assert [re.split(r"[ :=*]", each.split(":")[0].strip())[-1] for each in parameters] == SIGNATURES[call].split()


def test_without_a_driver_the_error_says_so(cuda: Any) -> None:
    code = "from edgefer.kernels.driver import Driver\ntry: Driver()\nexcept Exception as e: print(type(e).__name__, e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    if not done.stdout:
        pytest.skip("this machine has a CUDA driver")
    assert done.stdout.startswith("DeviceError"), done.stdout


SCRIPT = """
import ctypes, sys
from pathlib import Path
import numpy as np
from edgefer.errors import DeviceError
from edgefer.kernels.driver import Driver
from edgefer.kernels.launch import kernels, Kernels
from edgefer.kernels.plan import ORIN, Launch, Plan, fill
from edgefer.kernels.streams import Event, Stream, priority_range

class Params(ctypes.Structure):
    _fields_ = (("x", ctypes.c_void_p), ("y", ctypes.c_void_p), ("workspace", ctypes.c_void_p),
                ("count", ctypes.c_int), ("bias", ctypes.c_float))

class Wanted:
    shape, dtype = (2, 2), np.float32

driver = Driver()
assert driver.gpu(0) == ORIN, driver.gpu(0)
plan = Plan((Launch("edgefer_double", (2, 3, 1), 128, 60_000),), {"count": 4, "bias": 0.5}, 16)
loaded = Kernels(driver=driver, folder=Path(sys.argv[1]))
found = loaded.run(plan, Params, {"x": np.arange(4, dtype=np.float32)}, {"y": Wanted})
assert found["y"].tolist() == [[0.5, 2.5], [4.5, 6.5]], found
with driver.current(loaded.context), Stream(driver) as stream:
    with stream.capture() as graph:
        loaded.launch(plan, fill(Params, plan, {}), int(stream.handle))
    graph.replay()
    graph.close()
    first, last = Event(driver), Event(driver)
    first.record(stream)
    last.record(stream)
    assert abs(last.seconds_since(first) - 0.0025) < 1e-9
    first.close()
    last.close()
    with Stream(driver, priority_range(driver)[1]) as urgent:
        moment = Event(driver, timing=False, blocking=True)
        moment.record(int(stream.handle))
        urgent.wait_for(moment)
        assert [moment.done(), moment.done()] == [False, True]
        moment.wait()
        moment.close()
        here, there = driver.allocate(8), driver.allocate(8)
        numbers = np.arange(8, dtype=np.uint8)
        urgent.copy_in(here, numbers)
        urgent.copy_between(there, here, 8)
        urgent.fill(here, 0, 8)
        urgent.copy_out(numbers[::-1][::-1], there)
        assert numbers.tolist() == list(range(8)), numbers
        driver.free((here, there))
    try:
        loaded.launch(Plan((Launch("edgefer_double", (9, 9, 9), 128),), {}), Params(), int(stream.handle))
    except DeviceError as error:
        assert "CUDA_ERROR_INVALID_VALUE" in str(error), error
    else:
        raise AssertionError("a refused launch went unnoticed")
loaded.close()
try:
    driver.load(b"PTX")
except DeviceError as error:
    assert "CUDA_ERROR_UNSUPPORTED_PTX_VERSION" in str(error) and "ptxas fatal: a log" in str(error), error
else:
    raise AssertionError("refused PTX went unnoticed")
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="needs g++ on Linux")
@pytest.mark.parametrize("flags", [(), ("-DBEFORE_CUDA_12_4",)], ids=["driver", "older driver"])
def test_the_real_bindings_take_every_argument(cuda: Any, folder: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    library = tmp_path / "libcuda.so.1"
    command = ["g++", *flags, "-std=c++17", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library)]
    subprocess.run([*command, str(HERE / "stub_libcuda.cpp"), "-ldl"], check=True)
    surroundings = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        capture_output=True,
        text=True,
        env=surroundings,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert done.stderr.splitlines()[-2:] == ["replayed", "left open: 0"]
