"""Every tensor that a session cannot take is an InputError that names the input and says what to do."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from edgefer.bundle.container import Bundle
from edgefer.errors import InputError, UsageError
from edgefer.runtime.session import Session

pytest.importorskip("onnxruntime")

X = np.zeros((1, 3, 8, 8), np.float32)


class Tensor:
    """Stands for a tensor of another library."""


def holding(value: float) -> Any:
    array = X.copy()
    array[0, 2, 7, 7] = value
    return array


REFUSALS: dict[str, tuple[Any, str, str]] = {
    "float64": (X.astype(np.float64), "elements of type float64", "astype(np.float32)"),
    "float16": (X.astype(np.float16), "elements of type float16", "astype(np.float32)"),
    "uint8": (X.astype(np.uint8), "elements of type uint8", "infer_images"),
    "uint16": (X.astype(np.uint16), "elements of type uint16", "infer_images"),
    "int32": (X.astype(np.int32), "elements of type int32", "astype(np.float32)"),
    "complex": (X.astype(np.complex64), "elements of type complex64", ""),
    "big-endian": (X.astype(">f4"), "elements of type >f4", "astype(np.float32)"),
    "a list": (X.tolist(), "is a builtins.list", "np.asarray"),
    "another library's": (Tensor(), "Tensor, expected a NumPy array", ".numpy()"),
    "a number": (1.0, "is a builtins.float", "np.asarray"),
    "no batch axis": (X[0], "(3, 8, 8), expected (1, 3, 8, 8)", "x[None]"),
    "no axes": (np.float32(1)[...], "shape (), expected", ""),
    "two examples": (np.zeros((2, 3, 8, 8), np.float32), "shape (2, 3, 8, 8)", "infer_batch"),
    "one channel": (np.zeros((1, 1, 8, 8), np.float32), "shape (1, 1, 8, 8)", "1 channels and the network takes 3"),
    "channels last": (np.zeros((1, 8, 8, 3), np.float32), "shape (1, 8, 8, 3)", "transpose(0, 3, 1, 2)"),
    "another size": (np.zeros((1, 3, 9, 8), np.float32), "shape (1, 3, 9, 8)", "resize it to 8x8"),
    "five axes": (np.zeros((1, 1, 3, 8, 8), np.float32), "shape (1, 1, 3, 8, 8)", ""),
    "empty": (np.zeros((1, 3, 0, 8), np.float32), "shape (1, 3, 0, 8)", ""),
    "NaN": (holding(np.nan), "1 NaN and 0 infinite values among 192", "what made the tensor"),
    "infinity": (holding(np.inf), "0 NaN and 1 infinite values", ""),
    "minus infinity": (holding(-np.inf), "0 NaN and 1 infinite values", ""),
    "missing": (None, "is missing", "takes no mask"),
}


@pytest.fixture(scope="module")
def session(tiny_bundle: Bundle) -> Session:
    return Session(tiny_bundle)


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(session: Session, tiny_inputs: Callable[..., Any], case: str) -> None:
    value, says, hint = REFUSALS[case]
    with pytest.raises(InputError) as caught:
        session.infer(visible=value, infrared=tiny_inputs()["infrared"])
    assert "'visible'" in caught.value.message
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_what_is_no_mapping_is_an_input_error(session: Session) -> None:
    nothing: Any = [X]
    with pytest.raises(InputError, match="the feeds are a list") as caught:
        session.run(nothing)
    assert "visible" in caught.value.hint
    for examples, kind in ((X, "ndarray"), ({"visible": X}, "str"), ([None], "NoneType")):
        with pytest.raises(InputError, match=f"example 0 is a {kind}"):
            session.infer_batch(examples)
    with pytest.raises(InputError, match="`views` is a list"):
        session.infer_images(visible=np.zeros((8, 8, 3), np.uint8), views=nothing)


def test_run_says_what_is_in_gpu_memory_and_what_is_a_list(session: Session, tiny_inputs: Callable[..., Any]) -> None:
    """An array in GPU memory need have no attribute but the one that says where it is."""

    class Bare:
        __cuda_array_interface__: ClassVar = {"shape": (1, 3, 8, 8), "typestr": "<f4", "data": (4096, 0), "version": 3}

    inputs = tiny_inputs()
    with pytest.raises(InputError, match="in GPU memory, and this session runs on the CPU"):
        session.run({**inputs, "visible": Bare()})
    with pytest.raises(InputError, match=r"input 'visible' is a builtins\.list"):
        session.run({**inputs, "visible": inputs["visible"].tolist()})


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_session_belongs_to_its_process(session: Session, way: Callable[[Session], object]) -> None:
    with pytest.raises(UsageError, match="cannot be copied or pickled") as caught:
        way(session)
    assert "bundle's path" in caught.value.hint


def test_unknown_names_list_the_known_ones(session: Session, tiny_inputs: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="no input 'thermal'") as caught:
        session.infer(**tiny_inputs(), thermal=X)
    assert "visible (visible) (1, 3, 8, 8), infrared (infrared) (1, 1, 8, 8)" in caught.value.hint
    with pytest.raises(InputError, match="no input 'present'"):
        session.infer(**tiny_inputs(), present=np.ones((1, 2), np.float32))


def test_large_finite_values_are_no_error_of_the_check(session: Session, tiny_inputs: Callable[..., Any]) -> None:
    # The sum of these overflows float32, which must neither warn nor be taken for an infinite value.
    large = np.full((1, 3, 8, 8), -3e37, np.float32)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        session.run({**tiny_inputs(), "visible": large})
        with pytest.raises(InputError, match="1 NaN and 0 infinite"):
            session.run({**tiny_inputs(), "visible": np.where(np.arange(192).reshape(1, 3, 8, 8), large, np.nan)})


@pytest.mark.parametrize(
    "view",
    [
        lambda array: np.asfortranarray(array),
        lambda array: np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        lambda array: np.concatenate([array, array], axis=2)[:, :, :8],
        lambda array: np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    ],
)
def test_any_layout_in_memory_gives_the_same_answer(
    session: Session, tiny_inputs: Callable[..., Any], view: Callable[[Any], Any]
) -> None:
    inputs = tiny_inputs()
    other = view(inputs["visible"])
    assert not other.flags.c_contiguous
    found = session.infer(visible=other, infrared=inputs["infrared"])
    np.testing.assert_array_equal(found.logits, session.infer(**inputs).logits)


def test_inputs_are_left_as_they_were(session: Session, tiny_inputs: Callable[..., Any]) -> None:
    inputs = tiny_inputs()
    before = {name: array.copy() for name, array in inputs.items()}
    for array in inputs.values():
        array.flags.writeable = False
    session.infer(**inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])
