"""The one logger that TensorRT has in a process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from simulation import simulate

from edgefer.errors import EngineIncompatible
from edgefer.runtime.gpu.tensorrt_log import RuntimeLog, runtime, runtime_log


def test_a_tensorrt_has_one_logger_for_all_sessions(capfd: pytest.CaptureFixture[str]) -> None:
    trt = simulate().trt
    logger, log = runtime_log(trt)
    assert runtime_log(trt) == (logger, log)
    assert runtime_log(simulate().trt)[0] is not logger
    logger.log(trt.ILogger.Severity.ERROR, "the plan is damaged")
    logger.log(trt.ILogger.Severity.INFO, "loaded engine size: 1 MiB")
    assert log.errors == ["the plan is damaged"]
    assert log.text() == "[ERROR] the plan is damaged"
    assert capfd.readouterr() == ("", "")
    log.forget()
    assert (log.errors, log.text()) == ([], "")


def test_it_keeps_no_more_than_it_needs() -> None:
    log = RuntimeLog()
    for number in range(1000):
        log.add("ERROR", f"error {number}")
        log.add("VERBOSE", "a tactic")
    assert len(log.errors) == 50
    assert log.errors[-1] == "error 999"
    assert len(log.tail) == 200


def _null(logger: Any) -> None:
    raise TypeError("pybind11::init(): factory function returned nullptr")


@pytest.mark.parametrize("made", [lambda logger: None, _null])
def test_a_runtime_that_is_none_is_an_error(made: Any) -> None:
    trt = SimpleNamespace(Runtime=made, ILogger=simulate().trt.ILogger)
    with pytest.raises(EngineIncompatible, match="gave no runtime"):
        runtime(trt)
