"""What arrays in GPU memory say of themselves: taken as the CUDA Array Interface has it, refused in words otherwise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgefer.errors import InputError
from edgefer.runtime.device_array import DeviceArray, device_array

ADDRESS = 0x7F00_0000_1000


def on_gpu(**changes: Any) -> Any:
    """What stands for an array of a library; a change to `...` leaves an entry out."""
    told = {"shape": (1, 3, 8, 8), "typestr": "<f4", "data": (ADDRESS, False), "version": 3, "strides": None, **changes}
    return SimpleNamespace(__cuda_array_interface__={key: each for key, each in told.items() if each is not ...})


def taken(**changes: Any) -> DeviceArray:
    found = device_array(on_gpu(**changes), "visible")
    assert found is not None
    return found


def test_an_array_in_gpu_memory() -> None:
    value = on_gpu()
    found = device_array(value, "visible")
    assert found is not None
    assert (found.address, found.shape, found.dtype) == (ADDRESS, (1, 3, 8, 8), np.dtype(np.float32))
    assert found.nbytes == 1 * 3 * 8 * 8 * 4
    assert found.owner is value
    assert not found.read_only
    assert taken(data=(ADDRESS, True)).read_only
    assert taken(typestr="|u1").dtype == np.uint8


@pytest.mark.parametrize("value", [np.zeros((1, 3, 8, 8), np.float32), [1.0], None, "text", object()])
def test_what_is_on_the_host_is_none(value: object) -> None:
    assert device_array(value, "visible") is None


@pytest.mark.parametrize(
    ("changes", "stream"),
    [
        ({}, 1),
        ({"version": 2}, 1),
        ({"stream": None}, None),
        ({"stream": 1}, 1),
        ({"stream": 2}, 2),
        ({"stream": 0x5566_7788}, 0x5566_7788),
    ],
)
def test_the_stream_behind_which_it_is_ready(changes: dict[str, Any], stream: int | None) -> None:
    assert taken(**changes).stream == stream


@pytest.mark.parametrize(
    "strides",
    [None, (768, 256, 32, 4), (7, 256, 32, 4), ..., [768, 256, 32, 4]],
    ids=["none", "c-order", "axis-of-one", "left-out", "list"],
)
def test_strides_that_are_contiguous(strides: Any) -> None:
    assert taken(strides=strides).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("data", [(0, False), (None, False), (ADDRESS, False)])
def test_no_elements_need_no_address(data: Any) -> None:
    found = taken(shape=(1, 0, 8), strides=(0, 32, 4), data=data)
    assert (found.nbytes, found.address) == (0, data[0] or 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "version 1 of the CUDA Array Interface"),
        ({"version": ...}, "version None"),
        ({"mask": object()}, "masked array"),
        ({"strides": (768, 4, 96, 12)}, "not contiguous: .* strides"),
        ({"strides": (4, 4, 8, 64)}, "not contiguous"),
        ({"strides": (32, 4)}, "one for each axis"),
        ({"stream": 0}, "behind the stream 0"),
        ({"stream": -3}, "behind the stream -3"),
        ({"stream": "default"}, "behind the stream 'default'"),
        ({"shape": ...}, "its shape is None"),
        ({"shape": (1, -3)}, "its shape is"),
        ({"shape": (1, 2.0)}, "its shape is"),
        ({"typestr": "<bf16"}, "its elements are '<bf16'"),
        ({"typestr": ">f4"}, "this machine's byte order"),
        ({"typestr": "<c8"}, "its elements are"),
        ({"typestr": 4}, "its elements are 4"),
        ({"data": (0, False)}, "the address 0"),
        ({"data": ADDRESS}, "its data is"),
        ({"data": (-1, False)}, "its data is"),
    ],
)
def test_what_is_not_as_the_protocol_has_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        device_array(on_gpu(**changes), "visible")
    assert "input 'visible'" in str(caught.value)


def test_an_order_in_memory_that_is_refused_has_a_hint() -> None:
    with pytest.raises(InputError) as caught:
        device_array(on_gpu(strides=(768, 4, 96, 12)), "visible")
    assert "contiguous()" in caught.value.hint
    with pytest.raises(InputError) as caught:
        device_array(on_gpu(stream=0), "visible")
    assert "forbids" in caught.value.hint


def test_a_tensor_that_a_gradient_is_kept_for() -> None:
    class Kept:
        """Refuses as PyTorch does."""

        @property
        def __cuda_array_interface__(self) -> dict[str, Any]:
            raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad.")

    with pytest.raises(InputError, match="requires grad") as caught:
        device_array(Kept(), "visible")
    assert "detach" in caught.value.hint
    with pytest.raises(InputError, match="by a tuple"):
        device_array(SimpleNamespace(__cuda_array_interface__=(1, 2)), "visible")
