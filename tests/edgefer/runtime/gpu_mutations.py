"""Runtimes that are wrong in one place: what a test of order and of giving back has to find.

Each is a name, a file below edgefer/, and texts of it with what stands there instead.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """`edits` are pairs of a text that is in the file once, and the one that takes its place."""

    breaks: str
    file: str
    edits: tuple[tuple[str, str], ...]


def mutation(breaks: str, file: str, *texts: str) -> Mutation:
    return Mutation(breaks, file, tuple(zip(texts[::2], texts[1::2], strict=True)))


QUICK = (
    mutation(
        "captured before it ran",
        "runtime/gpu/lane.py",
        '        inference.enqueue()\n        self.counters["enqueues"] += 1\n        self.stream.wait()\n'
        "        if not self._graphs:\n",
        "        if not self._graphs:\n",
    ),
    mutation("the event is not waited for", "runtime/gpu/lane.py", "        self.event.wait()\n", "        pass\n"),
    mutation(
        "the event is recorded before the inference",
        "runtime/gpu/lane.py",
        "        inference.launch()\n        self.event.record(self.stream)\n",
        "        self.event.record(self.stream)\n        inference.launch()\n",
    ),
    mutation(
        "the producer's stream is not waited for",
        "runtime/gpu/lane.py",
        "        self.stream.wait_for(self._arrival)\n",
        "        pass\n",
    ),
    mutation(
        "what the plain enqueue returns is ignored",
        "runtime/gpu/inference.py",
        "        if not self._context.execute_async_v3(self._handle):\n"
        '            raise self._engine.refused("enqueue an inference")\n',
        "        self._context.execute_async_v3(self._handle)\n",
    ),
    mutation(
        "the copies are left out of the graph",
        "runtime/gpu/inference.py",
        "            with self._stream.capture() as graph:\n                self.enqueue()\n",
        "            with self._stream.capture() as graph:\n"
        "                self._context.execute_async_v3(self._handle)\n",
    ),
    mutation(
        "the execution context goes before its graph",
        "runtime/gpu/inference.py",
        "        graph, self._graph = self._graph, None\n",
        "        graph, self._graph, self._context = self._graph, None, None\n",
    ),
    mutation(
        "memory goes before the graphs that work in it",
        "runtime/gpu/lane.py",
        "        self._buffers = Buffers(",
        "        self._inferences = Inferences()\n        device.hold(self._inferences.close)\n"
        "        self._buffers = Buffers(",
        "        self._inferences = Inferences()\n        device.hold(self._inferences.close)\n"
        "        device.hold(self.stream",
        "        device.hold(self.stream",
    ),
    mutation(
        "the graph of another batch is replayed",
        "runtime/tensorrt.py",
        "        lane.launch(lane.plain[batch.size])\n",
        "        lane.launch(lane.plain[self.engine.batches[0]])\n",
    ),
    mutation(
        "an address is not set",
        "engine/loaded.py",
        "                if not context.set_tensor_address(each.name, addresses[each.name]):\n",
        "                if each is not self.outputs[0] and not context.set_tensor_address("
        "each.name, addresses[each.name]):\n",
    ),
    mutation(
        "another profile is selected",
        "engine/loaded.py",
        "context.set_optimization_profile_async(profile, stream)",
        "context.set_optimization_profile_async(0, stream)",
    ),
    mutation(
        "activation memory goes early",
        "runtime/gpu/lane.py",
        "        self.plain: dict[int, Inference] = {}\n        for batch in engine.batches:\n",
        "        self.plain: dict[int, Inference] = {}\n        for batch in engine.batches:\n"
        "            batch == engine.batches[-1] and self._activation and device.let_go(self._activation._key)\n",
    ),
    mutation(
        "activation memory is for the smallest batch",
        "runtime/gpu/lane.py",
        "        size = engine.activation_bytes()\n",
        "        size = engine.activation_bytes(0)\n",
    ),
    mutation(
        "the context is released before what is in it",
        "runtime/gpu/cuda_context.py",
        "        self._release(list(held.values()), errors)\n",
        "",
        "            errors.append(error)\n        if errors:\n",
        "            errors.append(error)\n        self._release(list(held.values()), errors)\n        if errors:\n",
    ),
    mutation(
        "given back in the order of creation",
        "runtime/gpu/cuda_context.py",
        "            for each in reversed(held):\n",
        "            for each in held:\n",
    ),
    mutation(
        "the context is not made current",
        "runtime/tensorrt.py",
        "        with self._current:  # in a forked process",
        "        if True:  # in a forked process",
    ),
    mutation(
        "the context stays current",
        "runtime/gpu/cuda_context.py",
        "            stack[-1:] = iter(self._pop, None)\n",
        "            stack.pop()\n",
    ),
    mutation(
        "the process is not looked at",
        "runtime/gpu/cuda_context.py",
        "        if self._closed or os.getpid() != self._pid:\n            self._left",
        "        if self._closed:\n            self._left",
    ),
    mutation(
        "a graph that goes is not closed",
        "runtime/gpu/inferences.py",
        "            kept.popitem(last=False)[1].close()\n",
        "            kept.popitem(last=False)\n",
    ),
    mutation(
        "a bound graph that goes is not closed",
        "runtime/gpu/inferences.py",
        "            found.close()\n",
        "            pass\n",
    ),
    mutation(
        "a lane that failed is given back with work on it",
        "runtime/gpu/lane.py",
        "        with suppress(DeviceError):  # a kernel that failed is why this is called\n"
        "            self.stream.wait()\n",
        "        pass\n",
    ),
    mutation(
        "the memory of frames goes before their graph",
        "runtime/gpu/stages.py",
        "self._device.hold(self._lane.dropping(1, key))",
        "self._device.hold(lambda: None)",
    ),
    mutation(
        "frames are not written",
        "runtime/gpu/stage.py",
        "                np.copyto(target, plane)\n",
        "                pass\n",
    ),
    mutation(
        "an array on the GPU is not copied",
        "runtime/gpu/device_feeds.py",
        "            lane.stream.copy_between(batch.addresses[name], value.address, value.nbytes)\n",
        "            pass\n",
    ),
)
"""Run by every `make test`."""

SLOW = (
    mutation(
        "a lane is handed out twice",
        "runtime/gpu/lanes.py",
        "                        self._taken[lane] = threading.get_ident()\n",
        "                        pass\n",
    ),
    mutation(
        "a lane is not given back",
        "runtime/gpu/lanes.py",
        "        with self._changed:\n            del self._taken[lane]\n            self._changed.notify()\n\n"
        "    def pending(",
        "        return\n\n    def pending(",
    ),
    mutation(
        "an answer is fetched without waiting",
        "runtime/gpu/submitted.py",
        "                        lane.wait()\n",
        "                        pass\n",
    ),
    mutation(
        "a refused capture is not told",
        "runtime/gpu/inference.py",
        "            return error.message\n",
        '            return ""\n',
    ),
    mutation(
        "graphs are not given back",
        "runtime/gpu/inference.py",
        "            if graph is not None:\n                graph.close()\n",
        "            pass\n",
    ),
    mutation(
        "nothing is waited for before memory goes",
        "runtime/gpu/lane.py",
        "        device.hold(self.stream.wait)",
        "        device.hold(lambda: None)",
    ),
    mutation(
        "the producer's event is recorded on the lane's stream",
        "runtime/gpu/lane.py",
        "        self._arrival.record(producer)\n",
        "        self._arrival.record(self.stream)\n",
    ),
    mutation(
        "no producer is waited for at all",
        "runtime/gpu/device_feeds.py",
        "            array[...] = value\n    wait_for_producers(lane, arrays.values())\n",
        "            array[...] = value\n",
    ),
    mutation(
        "answers are views of the buffers",
        "runtime/gpu/lane.py",
        "            return {name: array.copy() for name, array in outputs}\n",
        "            return dict(outputs)\n",
    ),
    mutation(
        "the caller's memory is not written",
        "runtime/gpu/lane.py",
        "                target[...] = array\n",
        "                pass\n",
    ),
    mutation(
        "the GPU is given the host's address of mapped memory",
        "runtime/gpu/buffers.py",
        "        address = self._host.address if self._memory is None else",
        "        address = self._host.array.ctypes.data if self._memory is None else",
    ),
    mutation(
        "what was copied on the GPU is copied over from the host",
        "runtime/gpu/buffers.py",
        "if names is None or each.tensor.name in names]",
        "]",
    ),
    mutation(
        "inputs on the host are left out beside those on the GPU",
        "runtime/gpu/device_feeds.py",
        "        if not isinstance(value, DeviceArray):\n",
        "        if False:\n",
    ),
    mutation(
        "every set of addresses is taken for a bound one",
        "runtime/gpu/device_feeds.py",
        "    if key in bound:\n",
        "    if len(bound):  # type: ignore[arg-type]\n",
    ),
    mutation(
        "closing does not wait for answers",
        "runtime/tensorrt.py",
        "        if self._lanes.close():\n            self.device.close()\n",
        "        self.device.close()\n",
    ),
    mutation(
        "the context is not released",
        "runtime/gpu/cuda_context.py",
        "            self.driver.release(self.ordinal)\n",
        "            pass\n",
    ),
    mutation(
        "nobody closes a device that is forgotten",
        "runtime/cuda.py",
        "        self._finalizer = weakref.finalize(self, self._context.close)\n",
        "        self._finalizer = self._context.close\n",
    ),
    mutation(
        "the engine is not given back",
        "runtime/gpu/tensorrt_open.py",
        "        self._device.hold(engine.close)\n",
        "",
    ),
)
"""Run by `make test-slow`: some of them are found by a time limit."""
