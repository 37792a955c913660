"""Answers in the caller's own memory: which arrays are taken, and that they hold the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgefer.bundle.container import Bundle
from edgefer.errors import InputError
from edgefer.runtime.out_arrays import OutCheck, copied_into
from edgefer.runtime.session import Session

Factory = Callable[..., Any]


def own(batch: int = 1) -> dict[str, Any]:
    """Memory for the outputs of the tiny network, full of what no answer is."""
    return {"logits": np.full((batch, 5), np.nan, np.float32), "embedding": np.full((batch, 8), np.nan, np.float32)}


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def session(request: pytest.FixtureRequest, tiny_bundle: Bundle) -> Session:
    pytest.importorskip(request.param)
    return Session(tiny_bundle, device=request.param)


def test_an_estimate_is_a_view_of_the_memory_given(session: Session, tiny_inputs: Factory) -> None:
    inputs, out = tiny_inputs(), own()
    expected, found = session.infer(**inputs), session.infer(**inputs, out=out)
    np.testing.assert_array_equal(found.logits, expected.logits)
    np.testing.assert_array_equal(out["logits"][0], expected.logits)
    np.testing.assert_array_equal(out["embedding"][0], expected.outputs["embedding"])
    assert np.shares_memory(found.logits, out["logits"])
    assert np.shares_memory(found.outputs["embedding"], out["embedding"])
    assert found.probabilities.tolist() == expected.probabilities.tolist()


def test_outputs_that_are_left_out_get_memory_of_their_own(session: Session, tiny_inputs: Factory) -> None:
    inputs, out = tiny_inputs(), {"embedding": own()["embedding"]}
    expected, found = session.run(inputs), session.run(inputs, out=out)
    assert found["embedding"] is out["embedding"]
    assert set(found) == {"logits", "embedding"}
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_batch_is_written_whole(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    pytest.importorskip("onnxruntime")
    session = Session(tiny_bundle_factory(batches=(1, 4)), device="onnxruntime")
    inputs, out = tiny_inputs(count=4), own(4)
    expected = session.run(inputs)
    assert session.run(inputs, out=out)["logits"] is out["logits"]
    np.testing.assert_array_equal(out["logits"], expected["logits"])
    with pytest.raises(InputError, match=r"'logits' is float32 \(4, 5\), expected float32 \(1, 5\)"):
        session.infer(**tiny_inputs(), out=own(4))


def test_a_graph_for_larger_batches_fills_memory_for_one(tiny_bundle_factory: Factory, tiny_inputs: Factory) -> None:
    pytest.importorskip("onnxruntime")
    session = Session(tiny_bundle_factory(batches=(2, 3)), device="onnxruntime")
    inputs, out = tiny_inputs(), own()
    found = session.infer(**inputs, out=out)
    np.testing.assert_array_equal(out["logits"][0], session.infer(**inputs).logits)
    assert np.shares_memory(found.logits, out["logits"])
    pending = session.infer_async(**inputs, out=own())
    np.testing.assert_array_equal(pending.result().logits, found.logits)


def read_only(shape: tuple[int, ...]) -> Any:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ({"logit": np.zeros((1, 5), np.float32)}, "no output 'logit'"),
        ({"logits": np.zeros((5,), np.float32)}, r"float32 \(5,\), expected float32 \(1, 5\)"),
        ({"logits": np.zeros((1, 5))}, "is float64"),
        ({"logits": [0.0] * 5}, "is a builtins.list"),
        ({"logits": np.zeros((1, 10), np.float32)[:, ::2]}, "read-only or not contiguous"),
        ({"logits": read_only((1, 5))}, "read-only or not contiguous"),
        (np.zeros((1, 5), np.float32), "expected arrays by the names of outputs"),
    ],
)
def test_memory_that_cannot_be_written_to(session: Session, tiny_inputs: Factory, out: Any, message: str) -> None:
    inputs = tiny_inputs()
    for use in (
        lambda: session.infer(**inputs, out=out),
        lambda: session.run(inputs, out=out),
        lambda: session.infer_async(**inputs, out=out),
    ):
        with pytest.raises(InputError, match=message) as caught:
            use()
        assert caught.value.hint


def test_two_outputs_in_one_memory(tiny_bundle: Bundle) -> None:
    memory = np.zeros(8, np.float32)
    with pytest.raises(InputError, match="'logits' and 'embedding' is the same memory"):
        OutCheck(tiny_bundle.graph(), {})({"logits": memory[:5].reshape(1, 5), "embedding": memory.reshape(1, 8)}, 1)


def test_outputs_of_other_types(tiny_bundle: Bundle) -> None:
    check = OutCheck(tiny_bundle.graph(), {"logits": np.dtype(np.float16)})
    assert check({"logits": np.zeros((1, 5), np.float16)}, 1)
    with pytest.raises(InputError, match="expected float16"):
        check({"logits": np.zeros((1, 5), np.float32)}, 1)
    with pytest.raises(TypeError):  # a runner that answers another type than it said is a defect, and not hidden
        copied_into({"logits": np.zeros(1, np.float32)}, {"logits": np.zeros(1)})


@pytest.mark.parametrize("device", ["onnxruntime", "openvino"])
def test_a_runner_says_what_its_outputs_are(tiny_bundle: Bundle, device: str) -> None:
    pytest.importorskip(device)
    runner = Session(tiny_bundle, device=device)._runner
    assert runner is not None
    assert dict(runner.output_types) == {"logits": np.float32, "embedding": np.float32}
