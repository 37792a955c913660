"""Files that hold a graph, and files that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from edgefer.engine.support.reading import read_graph  # noqa: E402
from edgefer.errors import InputError  # noqa: E402


@pytest.fixture
def outside(make_graph: Callable[..., bytes], tmp_path: Path) -> Path:
    """A model whose weights lie in `weights.bin` beside it."""
    model = onnx.ModelProto.FromString(make_graph())
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    return tmp_path / "net.onnx"


def edit(path: Path, **fields: str) -> None:
    """Write other fields of the first external tensor."""
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = fields.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())


def test_bytes_and_a_path_are_the_same(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    data = make_graph()
    (tmp_path / "net.onnx").write_bytes(data)
    assert read_graph(data).data == read_graph(tmp_path / "net.onnx").data == data


def test_weights_in_another_file_are_folded_in(outside: Path, make_graph: Callable[..., bytes]) -> None:
    read = read_graph(outside)
    assert read.external == ("weights.bin",)
    before = {
        each.name: onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(make_graph()).graph.initializer
    }
    model: Any = onnx.load_from_string(read.data)
    assert before.keys() == {each.name for each in model.graph.initializer}
    for each in model.graph.initializer:
        assert not each.external_data
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(each), before[each.name])


def test_missing_weights_are_named(outside: Path) -> None:
    (outside.parent / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin.*no such file") as caught:
        read_graph(outside)
    assert "'w'" in caught.value.message
    assert "copy weights.bin beside the model" in caught.value.hint


def test_weights_cut_short(outside: Path) -> None:
    weights = outside.parent / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:10])
    with pytest.raises(InputError, match=r"weights\.bin', which has 10"):
        read_graph(outside)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a/../../secret"])
def test_weights_outside_the_folder_are_not_read(outside: Path, location: str) -> None:
    (outside.parent.parent / "secret").write_bytes(bytes(4096))
    edit(outside, location=location)
    with pytest.raises(InputError, match="outside the folder"):
        read_graph(outside)


def test_bytes_cannot_lead_to_another_file(outside: Path) -> None:
    with pytest.raises(InputError, match="bytes alone cannot lead to"):
        read_graph(outside.read_bytes())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"<!doctype html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x80\x04pickle", "a pickle"),
        (b'{"a": 1}', "JSON"),
        (b"PK\x03\x04....", "a zip file"),
        (b"plain text", "cannot be read as an ONNX model"),
        (b"\x08\x09\x12\x7f", "cannot be read as an ONNX model"),
    ],
)
def test_what_is_no_model(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_graph(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_model_cut_short(make_graph: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(make_graph()[:-100])
    with pytest.raises(InputError, match="cannot be read as an ONNX model"):
        read_graph(path)


def test_no_such_file_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_graph(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="is not a file"):
        read_graph(tmp_path)
