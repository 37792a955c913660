"""The runner on a simulated GPU: every way to feed it and to be answered, in one thread."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated_session as tiny
from opened_runner import check, opened
from simulation import Simulation, simulate

from edgefer.errors import DeviceError, EdgeferWarning, EngineIncompatible, InputError, UsageError
from edgefer.runtime.device_array import DeviceArray
from edgefer.runtime.gpu.lane import ATTEMPTS

MACHINES: dict[str, dict[str, Any]] = {
    "discrete": {},
    "shared memory": {"integrated": True},
    "TensorRT 11": {"version": "11.4.0"},
}
REPLAY = ["cuCtxPushCurrent", "cuGraphLaunch", "cuEventRecord", "cuEventSynchronize", "cuCtxPopCurrent"]


@pytest.fixture
def simulation() -> Simulation:
    return simulate()


def names(calls: list[tuple[str, tuple[Any, ...]]]) -> list[str]:
    return [name for name, _ in calls]


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_it_answers_as_the_network_in_every_batch(machine: dict[str, Any]) -> None:
    with opened(simulate(**machine)) as opening:
        for batch in (4, 1, 4):
            given = tiny.feeds(batch, seed=batch)
            found = opening.runner.run(given)
            assert list(found) == ["logits", "embedding"]
            check(found, given)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_an_inference_is_one_launch_and_an_event(machine: dict[str, Any]) -> None:
    simulation = simulate(**machine)
    with opened(simulation) as opening:
        for batch in (1, 4):
            with simulation.gpu.recording() as calls:
                opening.runner.run(tiny.feeds(batch))
            assert names(calls) == REPLAY


def test_all_inputs_are_one_copy_and_all_outputs_another(simulation: Simulation) -> None:
    with (
        opened(simulation, batches=(1,)) as opening,
        simulation.gpu.recording() as calls,
        opening.runner.lane() as lane,
    ):
        lane.plain[1].enqueue()
        lane.settle()
    copies = [(name, arguments[2]) for name, arguments in calls if name.startswith("cuMemcpy")]
    # visible 3*8*8*4 = 768 bytes, infrared 256; logits 20, up to the next multiple of 256, embedding 32.
    assert copies == [("cuMemcpyHtoDAsync", 1024), ("cuMemcpyDtoHAsync", 288)]


def test_nothing_is_copied_where_the_memory_is_shared() -> None:
    simulation = simulate(integrated=True)
    with opened(simulation) as opening:
        assert "mapped" in opening.request.settings["memory"]
        check(opening.runner.run(tiny.feeds(4)), tiny.feeds(4))
    assert simulation.gpu.count("cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync") == 0


@pytest.mark.parametrize(("integrated", "asked", "copies"), [(True, False, True), (False, True, False)])
def test_zero_copy_can_be_asked_for_and_forbidden(integrated: bool, asked: bool, copies: bool) -> None:
    simulation = simulate(integrated=integrated)
    with opened(simulation, zero_copy=asked) as opening:
        check(opening.runner.run(tiny.feeds()), tiny.feeds())
        assert "asked for" in opening.request.settings["memory"]
    assert bool(simulation.gpu.count("cuMemcpyHtoDAsync")) is copies


def test_results_belong_to_the_caller(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        first = opening.runner.run(tiny.feeds(1, 1))
        kept = first["logits"].copy()
        opening.runner.run(tiny.feeds(1, 2))["logits"][...] = 7
        np.testing.assert_array_equal(first["logits"], kept)
        check(opening.runner.run(tiny.feeds(1, 1)), tiny.feeds(1, 1))


def test_results_are_put_where_the_caller_wants_them(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        out = {"logits": np.zeros((4, 5), np.float32)}
        found = opening.runner.run(tiny.feeds(4), out)
        assert found["logits"] is out["logits"]
        assert found["embedding"].shape == (4, 8)
        check(out, tiny.feeds(4))


def test_feeds_may_be_changed_once_they_are_submitted(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        given = tiny.feeds(1, 5)
        submitted = opening.runner.submit({name: value.copy() for name, value in given.items()})
        changed = tiny.feeds(1, 5)
        later = opening.runner.submit(changed)
        for value in changed.values():
            value[...] = 0
        check(submitted.wait(), given)
        check(later.wait(), given)


def test_arrays_on_the_gpu_cost_one_copy_each(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        for batch in (1, 4):
            for seed in range(3):
                given = tiny.feeds(batch, seed)
                check(opening.runner.run(opening.arrays(given)), given)
        counters = opening.runner.counters
        assert (counters["copied"], counters["bound"]) == (12, 0)
        with simulation.gpu.recording() as calls:
            opening.runner.run(opening.arrays(tiny.feeds(1)))
        assert names(calls) == ["cuCtxPushCurrent", "cuMemcpyDtoDAsync", "cuMemcpyDtoDAsync", *REPLAY[1:]]


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_bound_arrays_are_read_where_they_are(machine: dict[str, Any]) -> None:
    simulation = simulate(**machine)
    with opened(simulation) as opening:
        given, other = tiny.feeds(1, 1), tiny.feeds(1, 2)
        arrays = opening.arrays(given)
        opening.runner.bind(arrays)
        captures = opening.runner.counters["captures"]
        with simulation.gpu.recording() as calls:
            check(opening.runner.run(arrays), given)
        assert names(calls) == REPLAY
        check(opening.runner.run(opening.arrays(other)), other)
        check(opening.runner.run(tiny.feeds(1, 3)), tiny.feeds(1, 3))
        check(opening.runner.run(dict(reversed(arrays.items()))), given)
        counters = opening.runner.counters
        assert (counters["bound"], counters["copied"]) == (4, 2)
        assert counters["captures"] == captures + 1  # that of the arrays that were not bound


def test_some_inputs_may_be_on_the_gpu_and_others_not(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        given = tiny.feeds(4, 1)
        visible = {"visible": opening.arrays(given)["visible"]}
        check(opening.runner.run({**given, **visible}), given)
        opening.runner.bind(visible)
        other = {"infrared": tiny.feeds(4, 2)["infrared"]}
        check(opening.runner.run({**other, **visible}), {**given, **other})
        check(opening.runner.run(given), given)


def test_the_last_four_sets_of_addresses_are_kept(simulation: Simulation) -> None:
    with opened(simulation, streams=2) as opening:
        sets = [opening.arrays(tiny.feeds(1, seed)) for seed in range(5)]
        for each in sets:
            opening.runner.bind(each)
        captures = opening.runner.counters["captures"]
        for seed, each in enumerate(sets[1:], start=1):
            check(opening.runner.run(each), tiny.feeds(1, seed))
        assert (opening.runner.counters["captures"], opening.runner.counters["copied"]) == (captures, 0)
        check(opening.runner.run(sets[0]), tiny.feeds(1, 0))
        assert opening.runner.counters["copied"] == 2
        opening.runner.bind(sets[1])  # it is there: nothing is captured, and it is the newest
        opening.runner.bind(sets[0])
        check(opening.runner.run(sets[1]), tiny.feeds(1, 1))
        assert opening.runner.counters["copied"] == 2
        check(opening.runner.run(sets[2]), tiny.feeds(1, 2))
        assert opening.runner.counters["copied"] == 4


def test_what_is_bound_is_there_when_it_is_asked_for(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        sets = [opening.arrays(tiny.feeds(1, seed)) for seed in range(5)]
        for each in sets[:4]:
            opening.runner.bind(each)
        opening.runner.run(sets[0])  # the oldest is the last that was used
        opening.runner.bind(sets[4])
        captures = opening.runner.counters["captures"]
        for seed, each in enumerate(sets[1:], start=1):
            check(opening.runner.run(each), tiny.feeds(1, seed))
        assert (opening.runner.counters["captures"], opening.runner.counters["copied"]) == (captures, 0)


def test_the_producers_stream_is_waited_for(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        given, producer = tiny.feeds(1, 4), simulation.gpu.foreign_stream()
        foreign = {name: simulation.gpu.foreign_array(np.zeros_like(value), producer) for name, value in given.items()}
        arrays = {
            name: DeviceArray(each.address, each.shape, each.dtype, each.stream, each) for name, each in foreign.items()
        }
        opening.runner.bind(arrays)
        for name, each in foreign.items():
            each.produce(given[name])
        check(opening.runner.run(arrays), given)
        other = tiny.feeds(1, 6)
        for name, each in foreign.items():
            each.produce(other[name])
        mixed = {"visible": arrays["visible"], "infrared": other["infrared"]}
        check(opening.runner.run(mixed), other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": (1, 3, 8, 9)}, "has the shape"),
        ({"dtype": np.dtype(np.float16)}, "float16"),
        ({"address": 0x1010}, "multiple of 256"),
    ],
)
def test_what_cannot_be_bound_is_refused(simulation: Simulation, change: dict[str, Any], said: str) -> None:
    with opened(simulation) as opening:
        good = opening.arrays(tiny.feeds())["visible"]
        fields = {"address": good.address, "shape": good.shape, "dtype": good.dtype, **change}
        with pytest.raises(InputError, match=said):
            opening.runner.bind({"visible": DeviceArray(**fields, stream=None, owner=good)})
        with pytest.raises(InputError, match="no input 'ultraviolet'"):
            opening.runner.bind({"ultraviolet": good})
        with pytest.raises(InputError, match="nothing is to be bound"):
            opening.runner.bind({})
        check(opening.runner.run(tiny.feeds()), tiny.feeds())


def test_what_another_gpu_has_and_what_was_freed_is_not_bound(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(simulation) as opening:
        gone = simulation.gpu.foreign_array(tiny.feeds()["visible"])
        array = DeviceArray(gone.address, gone.shape, gone.dtype, None, gone)
        with monkeypatch.context() as patched:
            patched.setattr(simulation.bindings, "cuPointerGetAttribute", lambda kind, address: (0, 1))
            with pytest.raises(InputError, match="in the memory of GPU 1, and the session is on GPU 0"):
                opening.runner.bind({"visible": array})
        gone.free()
        with pytest.raises(InputError, match="in no memory that the driver knows"):
            opening.runner.bind({"visible": array})
        check(opening.runner.run(tiny.feeds()), tiny.feeds())


def test_an_array_on_the_gpu_of_another_type_is_refused_without_binding_too(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        given = tiny.feeds()
        half = {name: value.astype(np.float16) for name, value in given.items()}
        with pytest.raises(InputError, match=r"expected .* float32"):
            opening.runner.run(opening.arrays(half))
        check(opening.runner.run(given), given)


def test_a_batch_without_a_profile_is_refused(simulation: Simulation) -> None:
    with opened(simulation) as opening, pytest.raises(InputError, match=r"batch 3, .* for 1, 4"):
        opening.runner.run(tiny.feeds(3))


def test_a_fixed_batch_is_served(simulation: Simulation) -> None:
    with opened(simulation, batches=(2,)) as opening:
        assert opening.runner.inputs == {"visible": (2, 3, 8, 8), "infrared": (2, 1, 8, 8)}
        check(opening.runner.run(tiny.feeds(2)), tiny.feeds(2))


def test_what_a_runner_says_of_itself(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        runner = opening.runner
        assert runner.inputs == {"visible": (None, 3, 8, 8), "infrared": (None, 1, 8, 8)}
        assert runner.outputs == ("logits", "embedding")
        assert runner.output_types == {"logits": np.float32, "embedding": np.float32}
        assert runner.versions == {"tensorrt": "10.3.0", "cuda driver": "12.6"}


def test_outputs_keep_the_type_that_the_engine_gives(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny.engine_spec

    def function(given: dict[str, Any]) -> dict[str, Any]:
        logits = tiny.logits(given)
        return {"logits": logits, "embedding": np.repeat(logits.argmax(1)[:, None], 8, 1)}

    def typed(bundle: Any, **options: Any) -> Any:
        made = spec(bundle, **options)
        outputs = {**made.outputs, "embedding": (made.outputs["embedding"][0], "int64")}
        return dataclasses.replace(made, outputs=outputs)

    monkeypatch.setattr(tiny, "engine_spec", typed)
    with opened(simulation, {"function": function}) as opening:
        found = opening.runner.run(tiny.feeds(4))
        assert opening.runner.output_types["embedding"] == found["embedding"].dtype == np.int64
        np.testing.assert_array_equal(found["embedding"][:, 0], tiny.logits(tiny.feeds(4)).argmax(1))


def edgefer_warnings(heard: list[warnings.WarningMessage]) -> list[str]:
    return [str(each.message) for each in heard if issubclass(each.category, EdgeferWarning)]


def test_inputs_in_half_precision_are_converted_on_the_way(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny.engine_spec

    def typed(bundle: Any, **options: Any) -> Any:
        made = spec(bundle, **options)
        inputs = {**made.inputs, "visible": (made.inputs["visible"][0], "float16")}
        return dataclasses.replace(made, inputs=inputs)

    monkeypatch.setattr(tiny, "engine_spec", typed)
    with opened(simulation, golden=0) as opening:
        given = tiny.feeds(4)
        rounded = {**given, "visible": given["visible"].astype(np.float16).astype(np.float32)}
        check(opening.runner.run(given), rounded)
        arrays = opening.arrays({"visible": given["visible"].astype(np.float16)})
        check(opening.runner.run({**given, **arrays}), rounded)


@pytest.mark.parametrize("refuses", ["driver", "TensorRT"])
def test_where_a_capture_is_refused_inferences_are_enqueued(simulation: Simulation, refuses: str) -> None:
    if refuses == "driver":
        simulation.gpu.fail("cuStreamBeginCapture", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with opened(simulation, {"capturable": refuses == "driver"}, streams=2) as opening:
            check(opening.runner.run(tiny.feeds()), tiny.feeds())
            opening.runner.bind(opening.arrays(tiny.feeds()))
            assert opening.request.settings["graph"].startswith("none where the capture was refused")
            counters = opening.runner.counters
    (said,) = edgefer_warnings(heard)
    assert "could not be captured" in said
    assert {Path(each.filename).name for each in heard} == {"opened_runner.py"}  # the line outside edgefer
    assert simulation.gpu.count("cuGraphLaunch") == 0
    assert (counters["captures"], counters["launches"]) == (0, 0)
    assert counters["enqueues"] > 0


def test_a_graph_that_cannot_be_made_is_no_error(simulation: Simulation) -> None:
    simulation.gpu.fail("cuGraphInstantiate", "CUDA_ERROR_OUT_OF_MEMORY", times=ATTEMPTS)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with opened(simulation) as opening:
            for batch in (1, 4):
                check(opening.runner.run(tiny.feeds(batch)), tiny.feeds(batch))
            assert opening.runner.counters["captures"] == 1
    (said,) = edgefer_warnings(heard)
    assert "CUDA_ERROR_OUT_OF_MEMORY" in said


def test_a_capture_that_somebody_else_ends_is_tried_again(simulation: Simulation) -> None:
    simulation.gpu.fail("cuStreamEndCapture", "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", times=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(simulation) as opening:
            for batch in (1, 4):
                check(opening.runner.run(tiny.feeds(batch)), tiny.feeds(batch))
            assert opening.runner.counters["captures"] == 2


def test_without_graphs_nothing_is_captured(simulation: Simulation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(simulation, graphs=False) as opening:
            check(opening.runner.run(tiny.feeds()), tiny.feeds())
            assert opening.request.settings["graph"] == "none: not asked for"
    assert simulation.gpu.count("cuStreamBeginCapture") == 0


def test_a_refused_enqueue_is_an_error_with_what_tensorrt_said(simulation: Simulation) -> None:
    with opened(simulation, graphs=False) as opening:
        simulation.gpu.fail("IExecutionContext.execute_async_v3", False, times=1)
        with pytest.raises(EngineIncompatible, match=r"did not enqueue an inference: .*enqueueV3 failed"):
            opening.runner.run(tiny.feeds())
        check(opening.runner.run(tiny.feeds()), tiny.feeds())


@pytest.mark.parametrize("call", ["cuGraphLaunch", "cuEventRecord", "cuEventSynchronize", "cuCtxPushCurrent"])
@pytest.mark.parametrize("submitted", [False, True])
def test_a_call_that_fails_is_an_error_and_its_lane_is_free_again(
    simulation: Simulation, call: str, submitted: bool
) -> None:
    with opened(simulation) as opening:
        simulation.gpu.fail(call, "CUDA_ERROR_LAUNCH_FAILED", times=1)
        with pytest.raises(DeviceError, match="CUDA_ERROR_LAUNCH_FAILED"):
            opening.runner.submit(tiny.feeds()).wait() if submitted else opening.runner.run(tiny.feeds())
        check(opening.runner.run(tiny.feeds(1, 3)), tiny.feeds(1, 3))


def test_a_set_of_addresses_that_cannot_be_captured_leaves_nothing(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        arrays, before = opening.arrays(tiny.feeds()), simulation.gpu.open()
        for call, answer in (("create_execution_context", None), ("set_tensor_address", False)):
            part = "ICudaEngine" if answer is None else "IExecutionContext"
            simulation.gpu.fail(f"{part}.{call}", answer, times=1)
            with pytest.raises(EngineIncompatible):
                opening.runner.bind(arrays)
            assert simulation.gpu.open() == {**before}
        check(opening.runner.run(arrays), tiny.feeds())
        assert opening.runner.counters["copied"] == 2


def test_a_closed_runner_refuses(simulation: Simulation) -> None:
    with opened(simulation) as opening:
        opening.runner.close()
        for call in (opening.runner.run, opening.runner.submit):
            with pytest.raises(UsageError, match="closed"):
                call(tiny.feeds())
        opening.runner.close()
