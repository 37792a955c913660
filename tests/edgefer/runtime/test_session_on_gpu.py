"""A session on a GPU, as its user sees it. The GPU, its driver, PyCUDA and TensorRT are SIMULATED; none was asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefer
from edgefer.bundle.container import Bundle
from edgefer.engine.bundle_work import BundleWork
from edgefer.engine.compile import CompiledEngine
from edgefer.errors import AnswerPending, EngineMissing, InputError, UsageError
from edgefer.runtime.gpu_settings import GpuSettings
from edgefer.runtime.session import Session

pytest.importorskip("onnx")
simulated_session = pytest.importorskip("simulated_session")
from simulation import Simulation, simulate  # noqa: E402


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Simulation]:
    """A machine with one GPU; at the end nothing of it is held, and nothing forbidden was done with it."""
    simulation = simulate()
    with simulated_session.in_place(simulation):
        yield simulation
    assert not simulation.gpu.violations
    simulation.gpu.assert_clean()


def opened(tmp_path: Path, batches: tuple[int, ...] = (1, 4), **options: Any) -> Session:
    settings = GpuSettings(cache=tmp_path / "cache", **options)
    return Session(simulated_session.bundle(batches), gpu=settings)


def expected(feeds: dict[str, Any]) -> Any:
    return simulated_session.logits(feeds)


def test_auto_takes_it(gpu: Simulation, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(tmp_path, priority="high") as session:
            feeds = simulated_session.feeds()
            np.testing.assert_allclose(session.infer(**feeds).logits, expected(feeds)[0], rtol=1e-6)
            info = session.info
    assert (info["runner"], info["device"], info["why"]) == ("tensorrt", "tensorrt", "auto took tensorrt")
    assert info["loading"] == "cold"
    seconds: Any = info["seconds"]
    assert {"read", "open", "engine", "deserialise", "capture", "golden", "warm-up"} <= seconds.keys()
    asked: Any = info["gpu"]
    assert (asked["priority"], asked["cache"]) == ("high", str(tmp_path / "cache"))
    assert "tensorrt" in str(info["versions"])


def test_the_second_opening_is_warm(gpu: Simulation, tmp_path: Path) -> None:
    opened(tmp_path).close()
    with opened(tmp_path, require_cached=True) as session:
        assert session.info["loading"] == "warm"
    with pytest.raises(EngineMissing):
        Session(
            simulated_session.bundle((1,)),
            device="tensorrt",
            gpu=GpuSettings(cache=tmp_path / "other", require_cached=True),
        )


class Listener:
    """A reporter that keeps what it hears."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        self.tasks.append(name)
        yield lambda units: None

    def note(self, text: str) -> None:
        raise AssertionError(text)


def test_who_opens_it_hears_of_the_compiling(gpu: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, compiled = Listener(), BundleWork._compiled

    def compile_graph(self: BundleWork, *given: Any) -> CompiledEngine:
        with self.reporter.task("compile"):
            return compiled(self, *given)

    monkeypatch.setattr(BundleWork, "_compiled", compile_graph)
    bundle, settings = simulated_session.bundle((1, 4)), GpuSettings(cache=tmp_path / "cache")
    for _ in ("cold", "warm"):
        Session(bundle, gpu=settings, reporter=heard).close()
    assert heard.tasks == ["compile"]


def test_a_session_that_cannot_be_closed_now_goes_on(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        runner: Any = session._runner
        with runner.device.current(), pytest.raises(UsageError, match="in the middle of one of this thread's own"):
            session.close()
        assert session.infer(**simulated_session.feeds()).label


def test_counters_go_on(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        before: Any = session.info["counters"]
        for _ in range(3):
            session.infer(**simulated_session.feeds())
        after: Any = session.info["counters"]
    assert after["launches"] == before["launches"] + 3
    assert after["enqueues"] == before["enqueues"]


def test_info_is_json(gpu: Simulation, tmp_path: Path) -> None:
    import msgspec

    with opened(tmp_path) as session:
        assert msgspec.json.decode(msgspec.json.encode(session.info)) == session.info


def test_arrays_in_gpu_memory(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        visible = gpu.gpu.foreign_array(feeds["visible"])
        found = session.infer(visible=visible, infrared=feeds["infrared"])
        np.testing.assert_allclose(found.logits, expected(feeds)[0], rtol=1e-6)
        assert found.modalities == ("visible", "infrared")
        raw = session.run({"visible": visible, "infrared": feeds["infrared"]})
        np.testing.assert_allclose(raw["logits"], expected(feeds), rtol=1e-6)
        assert session.info["counters"]["copied"] == 2  # type: ignore[index]
        visible.free()


def test_arrays_in_gpu_memory_are_read_behind_their_stream(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds, others = simulated_session.feeds(), simulated_session.feeds(seed=5)
        visible = gpu.gpu.foreign_array(feeds["visible"], gpu.gpu.foreign_stream())
        visible.produce(others["visible"])
        found = session.infer(visible=visible, infrared=others["infrared"])
        np.testing.assert_allclose(found.logits, expected(others)[0], rtol=1e-6)
        visible.free()


def test_bound_arrays_are_read_where_they_lie(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        arrays = {name: gpu.gpu.foreign_array(value) for name, value in feeds.items()}
        session.bind(**arrays)
        found = session.infer(**arrays)
        np.testing.assert_allclose(found.logits, expected(feeds)[0], rtol=1e-6)
        counters: Any = session.info["counters"]
        assert (counters["bound"], counters["copied"]) == (2, 0)
    for array in arrays.values():
        array.free()


def test_what_cannot_be_bound(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        right, wrong = gpu.gpu.foreign_array(feeds["visible"]), gpu.gpu.foreign_array(feeds["visible"].astype(float))
        with pytest.raises(UsageError, match="no array to bind"):
            session.bind()
        with pytest.raises(InputError, match="only arrays in GPU memory") as caught:
            session.bind(visible=feeds["visible"])
        assert "Session.infer" in caught.value.hint
        with pytest.raises(InputError, match="no input 'heat'"):
            session.bind(heat=right)
        with pytest.raises(InputError, match="float64, expected float32"):
            session.bind(visible=wrong)
        with pytest.raises(InputError, match=r"the shape \(1, 3, 8, 8\), expected \(1, 1, 8, 8\)"):
            session.bind(infrared=right)
        right.free()
        wrong.free()


def test_what_is_wrong_with_an_array_in_gpu_memory(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds(batch=2)
        array = gpu.gpu.foreign_array(feeds["visible"])
        one = simulated_session.feeds()
        with pytest.raises(InputError, match=r"the shape \(2, 3, 8, 8\), expected \(1, 3, 8, 8\)") as caught:
            session.infer(visible=array, infrared=one["infrared"])
        assert "infer_batch" in caught.value.hint
        with pytest.raises(InputError, match=r"batches \[1, 2\]"):
            session.run({"visible": array, "infrared": one["infrared"]})
        array.free()


def test_a_batch_with_examples_in_gpu_memory_is_run_one_by_one(gpu: Simulation, tmp_path: Path) -> None:
    examples = [simulated_session.feeds(seed=seed) for seed in range(4)]
    with opened(tmp_path) as session:
        array = gpu.gpu.foreign_array(examples[2]["visible"])
        given = [*examples[:2], {**examples[2], "visible": array}, examples[3]]
        before: Any = session.info["counters"]
        for found, feeds in zip(session.infer_batch(given), examples, strict=True):
            np.testing.assert_allclose(found.logits, expected(feeds)[0], rtol=1e-6)
        after: Any = session.info["counters"]
        assert after["launches"] - before["launches"] == 4
        session.infer_batch(examples)
        assert session.info["counters"]["launches"] == after["launches"] + 1  # type: ignore[index]
        array.free()


def test_a_graph_for_larger_batches_takes_none_alone(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path, batches=(4,)) as session:
        feeds = simulated_session.feeds()
        array = gpu.gpu.foreign_array(feeds["visible"])
        with pytest.raises(InputError, match="cannot be put into a batch of 4") as caught:
            session.infer(visible=array, infrared=feeds["infrared"])
        assert "Session.run" in caught.value.hint
        np.testing.assert_allclose(session.infer(**feeds).logits, expected(feeds)[0], rtol=1e-6)
        array.free()


def test_answers_in_memory_of_the_callers(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds, out = simulated_session.feeds(), {"logits": np.zeros((1, 5), np.float32)}
        found = session.infer(**feeds, out=out)
        np.testing.assert_allclose(out["logits"], expected(feeds), rtol=1e-6)
        assert np.shares_memory(found.logits, out["logits"])
        kept = session.infer(**feeds).logits
        session.infer(**simulated_session.feeds(seed=9))
        np.testing.assert_allclose(kept, expected(feeds)[0], rtol=1e-6)  # an answer is the caller's for good


def test_answers_that_come_later(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path, streams=2) as session:
        examples = [simulated_session.feeds(seed=seed) for seed in range(5)]
        pending = []
        for feeds in examples:
            given = {name: value.copy() for name, value in feeds.items()}
            pending.append(session.infer_async(**given))
            for value in given.values():
                value[...] = 0  # the tensors have been read
        assert all(isinstance(each.event, int) and each.event for each in pending)
        for each, feeds in zip(reversed(pending), reversed(examples), strict=True):
            np.testing.assert_allclose(each.result().logits, expected(feeds)[0], rtol=1e-6)
            assert each.done()


def test_an_answer_that_is_not_there_yet(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        pending = session.infer_async(**feeds)
        with pytest.raises(AnswerPending):
            pending.result(timeout=0)
        gpu.gpu.finish()
        assert pending.done()
        np.testing.assert_allclose(pending.result(timeout=1).logits, expected(feeds)[0], rtol=1e-6)


def test_an_answer_outlives_its_session(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        pending = session.infer_async(**feeds)
    np.testing.assert_allclose(pending.result().logits, expected(feeds)[0], rtol=1e-6)
    for use in (lambda: session.infer_async(**feeds), lambda: session.bind(visible=1), lambda: session.run(feeds)):
        with pytest.raises(UsageError, match="closed"):
            use()


def test_values_on_the_host_are_still_looked_at(gpu: Simulation, tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        feeds = simulated_session.feeds()
        feeds["visible"][0, 0, 0, 0] = np.nan
        with pytest.raises(InputError, match="1 NaN"):
            session.infer(**feeds)
        array = gpu.gpu.foreign_array(feeds["visible"])
        with pytest.raises(InputError, match="logits that are not finite"):  # there they show in the answer
            session.infer(visible=array, infrared=feeds["infrared"])
        array.free()


def test_the_cpu_takes_no_array_in_gpu_memory(gpu: Simulation, tiny_bundle: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    feeds = simulated_session.feeds()
    array = gpu.gpu.foreign_array(feeds["visible"])
    with Session(tiny_bundle, device="cpu") as session:
        given = {"visible": array, "infrared": feeds["infrared"]}
        uses: Any = (
            lambda: session.infer(**given),
            lambda: session.infer_async(**given),
            lambda: session.run(given),
            lambda: session.infer_batch([given]),
        )
        for use in uses:
            with pytest.raises(InputError, match="in GPU memory, and this session runs on the CPU") as caught:
                use()
            assert "device='tensorrt'" in caught.value.hint
        with pytest.raises(UsageError, match="nothing to bind arrays to") as refused:
            session.bind(visible=array)
        assert "tensorrt" in refused.value.hint
    array.free()


def test_a_mask_in_gpu_memory_cannot_be_read(gpu: Simulation) -> None:
    from edgefer.runtime.binding import Binder
    from edgefer.runtime.tensor_check import checked_anywhere

    tiny = simulated_session.tiny()
    network = tiny.TinyNetwork(mask=True)
    feeds = tiny.tiny_feeds(network)
    array = gpu.gpu.foreign_array(feeds["present"])
    binder = Binder(tiny.tiny_graph(network), checked_anywhere)
    with pytest.raises(InputError, match="says which cameras are there and lies in GPU memory"):
        binder.bind({"visible": feeds["visible"], "present": array})
    array.free()


def test_load_takes_the_settings(gpu: Simulation, tmp_path: Path) -> None:
    bundle = simulated_session.bundle().write(tmp_path / "tiny.edgefer")
    with edgefer.load(bundle, device="tensorrt", gpu=edgefer.GpuSettings(cache=tmp_path, graphs=False)) as session:
        pending = session.infer_async(**simulated_session.feeds())
        assert isinstance(pending, edgefer.PendingEstimate)
        pending.result()
        assert session.info["counters"]["launches"] == 0  # type: ignore[index]
