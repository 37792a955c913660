"""Simplifying in a child: what it may do, what must survive it, and every way in which it can go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxsim")

from onnx import numpy_helper  # noqa: E402

from edgefer_export import simplify as under_test  # noqa: E402
from edgefer_export import simplify_worker  # noqa: E402
from edgefer_export.checks import literal_graph, random_feeds, relative_error  # noqa: E402
from edgefer_export.child import run_child  # noqa: E402
from edgefer_export.operators import attach_functions, operator_counts  # noqa: E402
from edgefer_export.simplify import simplify  # noqa: E402

TEXT = """
g (float[1,3,8,8] x) => (float[1,4] y)
{
  a = Conv (x, w)
  n = BatchNormalization (a, s, t, m, v)
  i = Identity (n)
  shape = Shape (i)
  flat = Reshape (i, shape)
  r = Relu (flat)
  y = GatedPool (r, gw, t)
}
"""


def model_with_much_to_simplify(free_batch: bool = False) -> Any:
    rng = np.random.default_rng(0)
    text = TEXT.replace("float[1,", "float[N,") if free_batch else TEXT
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]>\n{text}')
    weights = {"w": rng.normal(0, 1, (4, 3, 3, 3)), "gw": rng.normal(0, 1, (4, 4)), "v": rng.uniform(1, 2, 4)}
    weights |= {name: rng.normal(0, 1, 4) for name in ("s", "t", "m")}
    model.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items())
    model.graph.node[-1].domain = "edgefer"
    return attach_functions(model).model


@pytest.fixture(scope="module")
def model() -> Any:
    return model_with_much_to_simplify()


def worker(tmp_path: Path, code: str) -> tuple[str, ...]:
    """A command that runs `code` in place of the worker, with `source` and `target` as paths."""
    script = tmp_path / "worker.py"
    script.write_text(
        f"import sys, os, time, signal, subprocess, onnx\nfrom pathlib import Path\n"
        f"source, target = map(Path, sys.argv[1:])\n{code}"
    )
    return (sys.executable, str(script))


@pytest.mark.parametrize("free_batch", [False, True])
def test_the_graph_gets_smaller_and_stays_what_it_is(free_batch: bool) -> None:
    model = model_with_much_to_simplify(free_batch)
    result = simplify(model)
    assert result.simplified, result.note
    assert result.note == "7 nodes became 3"
    onnx.checker.check_model(result.model, full_check=True)
    assert [node.op_type for node in result.model.graph.node] == ["Conv", "Relu", "GatedPool"]
    assert result.model.ir_version == 9
    assert {entry.domain: entry.version for entry in result.model.opset_import} == {"": 19, "edgefer": 1}
    assert operator_counts(result.model) == {"GatedPool": 1}
    assert list(result.model.functions) == list(model.functions)
    for batch in (1, 3) if free_batch else (1,):
        feeds = random_feeds(model, 9, batch=batch)
        assert relative_error(literal_graph(result.model).run(feeds)["y"], literal_graph(model).run(feeds)["y"]) < 1e-5


def test_a_child_that_hangs_is_killed_with_all_that_it_started(model: Any, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hanging = worker(
        tmp_path,
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(600)",
    )
    started = time.monotonic()
    result = simplify(model, timeout=3, worker=hanging)
    assert time.monotonic() - started < 30
    assert not result.simplified
    assert result.model is model
    assert result.note == "not simplified: the child ran past its time limit"
    for pid in map(int, pids.read_text().split()):
        assert ended(pid)


def test_a_child_that_dies_is_survived(model: Any, tmp_path: Path) -> None:
    result = simplify(model, worker=worker(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert (result.simplified, result.model) == (False, model)
    assert result.note == "not simplified: the child was killed by SIGKILL"


def test_a_child_that_aborts_after_writing_is_not_believed(model: Any, tmp_path: Path) -> None:
    code = "target.write_bytes(source.read_bytes())\nos.kill(os.getpid(), signal.SIGABRT)"
    assert simplify(model, worker=worker(tmp_path, code)).note == "not simplified: the child was killed by SIGABRT"


def test_a_child_that_raises_gives_its_last_words(model: Any, tmp_path: Path) -> None:
    result = simplify(model, worker=worker(tmp_path, "raise ValueError('cannot fold this')"))
    assert result.note == "not simplified: the child failed with status 1: ValueError: cannot fold this"


CHANGE = "m = onnx.load(source)\n{}\nonnx.save(m, target)"
WRONG = {
    "weights": (
        "from onnx import numpy_helper as h\nt = m.graph.initializer[0]\n"
        "t.CopyFrom(h.from_array(h.to_array(t) * 1.01, t.name))",
        r"output y of the simplified graph is off by \d\.\d+e-0\d, expected at most 1e-04",
    ),
    "input": ("m.graph.input[0].name = 'z'\nm.graph.node[0].input[0] = 'z'", "the graph's inputs went from"),
    "shape": ("m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2", "Error|the graph's"),
    "inlined": (
        "import onnx.inliner\nm = onnx.inliner.inline_local_functions(m)",
        "the operators of the attention went",
    ),
    "opset": (
        "m.opset_import[0].version = 20\nfor f in m.functions: f.opset_import[0].version = 20",
        "the model is of opset|the opset went",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_graph_is_not_taken(model: Any, tmp_path: Path, change: str, said: str) -> None:
    import re

    result = simplify(model, worker=worker(tmp_path, CHANGE.format(change)))
    assert not result.simplified
    assert result.model is model
    assert re.search(said, result.note), result.note


@pytest.mark.parametrize("code", ["pass", "target.write_bytes(b'')", "target.write_text('<html></html>')"])
def test_a_result_that_is_none_is_not_taken(model: Any, tmp_path: Path, code: str) -> None:
    result = simplify(model, worker=worker(tmp_path, code))
    assert not result.simplified
    assert result.model is model
    assert "\n" not in result.note


def test_functions_that_the_child_dropped_and_its_ir_version_are_put_right(model: Any, tmp_path: Path) -> None:
    code = CHANGE.format("del m.functions[:]\nm.ir_version = 10")
    result = simplify(model, worker=worker(tmp_path, code))
    assert result.simplified, result.note
    assert result.model == model


def test_without_onnxsim_the_graph_stays(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test.importlib.util, "find_spec", lambda name: None)
    result = simplify(model)
    assert (result.simplified, result.model) == (False, model)
    assert "onnxsim is not installed" in result.note


def test_a_command_that_does_not_exist_is_survived(model: Any) -> None:
    assert "cannot be started" in simplify(model, worker=("/no/such/command",)).note


def test_an_interrupt_kills_the_child_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_child(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            timeout=60,
            folder=tmp_path,
            environment=dict(os.environ),
        )
    (child,) = started
    assert ended(child.pid)


def test_the_worker_prints_on_standard_error_only(model: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    onnx.save(model, source)
    command = [sys.executable, "-m", "edgefer_export.simplify_worker", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert done.stdout == b""
    assert target.exists()


def test_options_are_those_that_the_installed_version_has() -> None:
    def older(model: Any, check_n: int = 0, mutable_initializer: bool = False) -> None: ...

    def newer(model: Any, check_n: int = 0, *, inline_functions: bool = False, certify: bool | None = None) -> None: ...

    assert simplify_worker._options(older) == {"check_n": 0, "mutable_initializer": False}
    assert simplify_worker._options(newer) == {"check_n": 0, "inline_functions": False, "certify": False}


def test_a_network_survives(model: Any) -> None:
    pytest.importorskip("torch")
    from edgefer_export.networks import registry
    from edgefer_export.onnx_export import export_onnx

    exported = export_onnx(registry.create("cbam-early-fusion", {"width": "0.125", "size": "32"})).model
    result = simplify(exported)
    assert result.simplified, result.note
    assert operator_counts(result.model) == {"CbamAttention": 8}


def ended(pid: int) -> bool:
    """Whether the process is gone within a few seconds: a signal to a grandchild arrives when it arrives."""
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


def running(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return False
    return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
