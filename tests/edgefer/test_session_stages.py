"""What opening a session took, stage by stage, and a runner that records its kernels' times."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.container import Bundle
from edgefer.errors import InputError
from edgefer.runtime import runners
from edgefer.runtime.onnxruntime_runner import OPTIMISED, PROFILE, OnnxRuntimeRunner
from edgefer.runtime.runners import Runner, RunnerEntry, RunnerRequest, open_runner
from edgefer.runtime.session import Session

pytest.importorskip("onnxruntime")


def test_stages_are_parts_of_the_whole(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def opens(request: RunnerRequest) -> Runner:
        request.seconds["form"] = 0.75
        return OnnxRuntimeRunner(request.bundle.onnx(request.graph))

    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(runners, "RUNNERS", (RunnerEntry("fake", "cpu", lambda: None, opens),))
    assert Session(tiny_bundle).info["seconds"] == {"read": 1.0, "open": 0.25, "form": 0.75, "warm-up": 1.0}


class Choosy(OnnxRuntimeRunner):
    """Refuses an image without any light, as a graph may whose shapes depend on what is in its inputs."""

    def run(self, feeds: Any, out: Any = None) -> Any:
        if not feeds["visible"].any():
            raise InputError("nothing can be seen")
        return super().run(feeds, out)


def test_a_graph_that_refuses_made_up_inputs_opens_all_the_same(
    tiny_bundle: Bundle, tiny_inputs: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = RunnerEntry("fake", "cpu", lambda: None, lambda request: Choosy(request.bundle.onnx(request.graph)))
    monkeypatch.setattr(runners, "RUNNERS", (entry,))
    with Session(tiny_bundle) as session:
        settings: Any = session.info["settings"]
        assert settings["warm-up"] == "left out: nothing can be seen"
        assert session.infer(**tiny_inputs()).label


def test_a_profile_and_the_graph_that_ran_are_left_in_the_folder(
    tiny_bundle: Bundle, tiny_inputs: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    request = RunnerRequest(tiny_bundle, tiny_bundle.graph(), 1, True, profile=tmp_path)
    opened = open_runner("onnxruntime", request)
    assert isinstance(opened.runner, OnnxRuntimeRunner)
    opened.runner.run(tiny_inputs())
    written = Path(opened.runner.session.end_profiling())
    assert written.parent == tmp_path
    assert written.name.startswith(PROFILE)
    assert (tmp_path / OPTIMISED).stat().st_size > 100
