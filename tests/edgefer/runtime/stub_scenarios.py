"""What test_pycuda_stub.py has a process of its own do with the real pycuda and cuda.bindings over stub_driver.cpp:
`python stub_scenarios.py NAME`. What goes wrong raises, or shows on standard error."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgefer.errors import DeviceError, UsageError
from edgefer.kernels.driver import Driver
from edgefer.kernels.streams import Event
from edgefer.runtime.cuda import CudaDevice


def stub() -> Any:
    library = ctypes.CDLL("libcuda.so.1")
    library.stub_fail.argtypes = (ctypes.c_char_p, ctypes.c_int)
    library.stub_fail.restype = None
    return library


def refused(act: Callable[[], object]) -> str:
    """The message of the DeviceError that `act` raises."""
    try:
        act()
    except DeviceError as error:
        return error.message
    raise AssertionError("nothing was refused")


def life() -> None:
    """All that a device has, and a copy through it."""
    device = CudaDevice()
    assert (device.name, device.integrated, device.gpu.compute_capability) == ("Stub", True, "8.7")
    free, total = device.memory()
    assert total == 1 << 30 == 2 * free
    memory, other = device.allocate(24), device.allocate(0)
    assert memory.address
    assert other.address
    pinned = device.host((2, 3), np.float32, mapped=False)
    mapped = device.host((), np.uint8, mapped=True)
    assert (pinned.address, pinned.array.shape, pinned.array.dtype) == (0, (2, 3), np.float32)
    assert mapped.address == mapped.array.ctypes.data
    assert device.host((0, 4), np.float16, mapped=True).array.shape == (0, 4)
    back = np.empty((2, 3), np.float32)
    pinned.array[:] = np.arange(6).reshape(2, 3)
    copies, kernels = device.stream("low"), device.stream("high")
    assert (copies.priority, kernels.priority) == (0, -5)
    with device.current():
        event = Event(device.driver, timing=False, blocking=True)
        copies.copy_in(memory.address, pinned.array)
        event.record(copies)
        kernels.wait_for(event)
        twice = device.allocate(24)
        kernels.copy_between(twice.address, memory.address, 24)
        kernels.copy_out(back, twice.address)
        event.record(int(kernels.handle))
        event.wait()
        assert event.done()
        event.close()
        event.close()
    assert (back == pinned.array).all()
    memory.close()
    memory.close()
    assert memory.address == 0
    print("closing", flush=True)
    device.close()
    device.close()
    assert (stub().stub_open(), stub().stub_contexts_here()) == (0, 0)
    twice.close()
    pinned.close()
    kernels.close()


def errors() -> None:
    """Every error that cuda.h numbers, from a call of pycuda and from one of cuda.bindings."""
    device, library = CudaDevice(), stub()
    found = {}
    for code in device.driver.bindings.CUresult:
        if int(code) == 0:
            continue
        library.stub_fail(b"cuMemAlloc", int(code))
        library.stub_fail(b"cuStreamCreate", int(code))
        found[code.name] = (refused(lambda: device.allocate(1)), refused(device.stream))
    library.stub_fail(b"cuMemAlloc", 0)
    library.stub_fail(b"cuStreamCreate", 0)
    every = {
        "cuMemHostAlloc": lambda: device.host((1,), np.uint8, mapped=True),
        "cuMemHostGetDevicePointer": lambda: device.host((1,), np.uint8, mapped=True),
        "cuMemGetInfo": device.memory,
        "cuCtxPushCurrent": device.memory,
        "cuCtxGetStreamPriorityRange": lambda: device.stream("high"),
        "cuStreamCreateWithPriority": lambda: device.stream("high"),
        "cuInit": CudaDevice,
        "cuDeviceGet": CudaDevice,
        "cuDeviceGetName": CudaDevice,
        "cuDeviceGetAttribute": CudaDevice,
        "cuDevicePrimaryCtxRetain": CudaDevice,
    }
    for call, act in every.items():
        library.stub_fail(call.encode(), 46)
        found[call] = (refused(act),)
        library.stub_fail(call.encode(), 0)
    found["ordinal"] = (refused(lambda: CudaDevice(3)),)
    device.close()
    assert library.stub_open() == 0
    print(json.dumps(found))


def threads() -> None:
    """Several threads in two devices at once; the last one closes what another opened."""
    first, second = CudaDevice(), CudaDevice()
    library, wrong = stub(), []

    def work(number: int) -> None:
        try:
            for step in range(50):
                device, other = (first, second) if (number + step) % 2 else (second, first)
                with device.current(), other.current(), device.current():
                    memory = device.allocate(64)
                    memory.close()
                pinned = other.host((4,), np.int32, mapped=True)
                pinned.array[:] = number
                assert (pinned.array == number).all()
                pinned.close()
            assert library.stub_contexts_here() == 0
        except BaseException as error:
            wrong.append(error)

    kept: list[Any] = []

    # This thread is in neither of them any more, which the one that closes them will not wait for.
    with first.current(), second.current():
        pass

    def close() -> None:
        kept.append(first.allocate(8))
        started = time.monotonic()
        first.close()
        second.close()
        assert time.monotonic() - started < 5

    for batch in ([(work, (number,)) for number in range(4)], [(close, ())]):
        running = [threading.Thread(target=target, args=arguments) for target, arguments in batch]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    assert wrong == []
    assert library.stub_open() == 0
    try:
        first.allocate(8)
    except UsageError:
        return
    raise AssertionError("a closed device gave memory")


def fork() -> None:
    """The child can use and close nothing of its parent's, and ends as if it had nothing."""
    device = CudaDevice()
    device.stream()
    memory, pinned = device.allocate(8), device.host((8,), np.uint8, mapped=True)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        print("child", os.getpid(), flush=True)
        message = refused(device.memory)
        assert f"process {parent} " in message
        assert f"process {os.getpid()}," in message
        assert not device.usable
        memory.close()
        pinned.close()
        if "close" in sys.argv:
            device.close()
            device.close()
        del device, memory, pinned
        gc.collect()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert device.memory()
    device.close()


def interrupted() -> None:
    """Ctrl-C in the middle of making the context current, and of leaving it."""
    device, library = CudaDevice(), stub()
    library.stub_interrupt.argtypes = (ctypes.c_char_p,)
    for call in (b"cuCtxPushCurrent", b"cuCtxPopCurrent", b"cuMemGetInfo", b"cuMemAlloc", b"cuMemHostAlloc"):
        library.stub_interrupt(call)
        try:
            device.memory()
            device.allocate(8).close()
            device.host((8,), np.uint8, mapped=True).close()
        except KeyboardInterrupt:
            print(call.decode(), flush=True)
        assert device.memory()
        assert library.stub_contexts_here() == 0
    # One that comes when `with` has ended and __exit__ has not begun: its context is left to the end.
    device.current().__enter__()
    assert library.stub_contexts_here() == 1
    assert device.memory()
    if "close" in sys.argv:
        device.close()
        assert (library.stub_open(), library.stub_contexts_here()) == (0, 0)


def fork_inside() -> None:
    """A child that was forked inside of the context leaves it without a word to the driver, which it has not."""
    device = CudaDevice()
    with device.current():
        child = os.fork()
    if child == 0:
        print("child", os.getpid(), flush=True)
        os._exit(0)  # as multiprocessing does: pycuda would end the process for what its stack of contexts still has
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    device.close()


def fork_opens() -> None:
    """A device that a child opens after its parent used the driver."""
    device = CudaDevice()
    child = os.fork()
    if child == 0:
        assert refused(CudaDevice) == "cuInit failed: CUDA_ERROR_NOT_INITIALIZED"
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    device.close()


def constructor() -> None:
    """Whatever fails in it, nothing stays."""
    library = stub()
    driver = Driver()
    for call in ("cuDeviceGetName", "cuDevicePrimaryCtxRetain"):
        library.stub_fail(call.encode(), 2)
        assert refused(lambda: CudaDevice(driver=driver)) == f"{call} failed: CUDA_ERROR_OUT_OF_MEMORY"
        library.stub_fail(call.encode(), 0)
        assert library.stub_open() == 0
    CudaDevice(driver=driver).close()


def left_open() -> None:
    """Nothing is closed, and the interpreter ends."""
    device = CudaDevice()
    globals()["kept"] = (device, device.allocate(8), device.host((8,), np.uint8, mapped=True), device.stream("high"))
    device.hold(lambda: print("held", flush=True))
    sys.exit(0)


def garbage() -> None:
    """Memory keeps its device; without both all is given back."""
    memory = CudaDevice().allocate(8)
    gc.collect()
    assert stub().stub_open() == 2
    memory.close()
    del memory
    gc.collect()
    assert stub().stub_open() == 0


def dead() -> None:
    """A kernel failed, and every call fails from then on: the error is said once, and pycuda prints nothing."""
    device, library = CudaDevice(), stub()
    device.driver.retain(0)  # another library's, so that the memory does not go with the context
    device.allocate(8)
    device.host((8,), np.uint8, mapped=False)
    for call in (b"cuMemGetInfo", b"cuMemFree", b"cuMemFreeHost"):
        library.stub_fail(call, 700)
    assert refused(device.close) == "cuMemGetInfo failed: CUDA_ERROR_ILLEGAL_ADDRESS"
    device.close()
    sys.stdout.flush()
    os._exit(0)  # the stub would complain of the memory, which is the driver's own now


def neighbours() -> None:
    """Another library's context stays this thread's current one, on pycuda's stack and on the driver's."""
    import pycuda.driver as pycuda

    pycuda.init()
    theirs = pycuda.Device(0).retain_primary_context()
    theirs.push()
    device = CudaDevice()
    with device.current():
        device.allocate(8)
        with device.current():
            block = pycuda.mem_alloc(8)
        block.free()
    mine = pycuda.mem_alloc(8)
    device.close()
    assert stub().stub_contexts_here() == 1
    mine.free()
    pycuda.Context.pop()
    assert stub().stub_contexts_here() == 0
    driver = Driver()
    device = CudaDevice(driver=driver)
    with driver.current(driver.retain(0)):
        with device.current():
            assert stub().stub_contexts_here() == 2
            device.close()
        assert stub().stub_contexts_here() == 1
    driver.release(0)
    theirs.detach()
    driver.call("cuCtxPopCurrent")  # pycuda releases a primary context and leaves it current


def described() -> None:
    """What pycuda says of each function, method and attribute that the simulation has."""
    import pycuda.driver as pycuda

    def find(name: str) -> Any:
        found: Any = pycuda
        for part in name.split("."):
            found = getattr(found, part, None)
        return found

    answer: dict[str, Any] = {}
    for name in sys.argv[2:]:
        found = find(f"{name}.__init__") if isinstance(find(name), type) else find(name)
        answer[name] = None if found is None else str(found.__doc__)
    answer["errors"] = [
        issubclass(find(name), pycuda.Error) for name in ("MemoryError", "LogicError", "LaunchError", "RuntimeError")
    ]
    answer["flags"] = [int(getattr(pycuda.host_alloc_flags, name)) for name in ("PORTABLE", "DEVICEMAP")]
    print(json.dumps(answer))


if __name__ == "__main__":
    scenario = {each.__name__: each for each in (life, errors, threads, fork, fork_opens, constructor, left_open)}
    scenario |= {each.__name__: each for each in (garbage, dead, neighbours, described, fork_inside, interrupted)}
    scenario[sys.argv[1]]()
