"""The conversation with TensorRT, against a module that gives nothing where the real one may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgefer.engine.builder import BuildLog, build
from edgefer.engine.flavours import Flavour
from edgefer.errors import CompileError


class FakeTensorRt:
    """As much of TensorRT as a build touches; the call named `missing` returns None, or -1 for an index."""

    ProfilingVerbosity = SimpleNamespace(DETAILED=2)
    MemoryPoolType = SimpleNamespace(WORKSPACE=0)
    BuilderFlag = SimpleNamespace(TF32=7)
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)

    class ILogger:
        pass

    def __init__(self, missing: str = "", pools: bool = True) -> None:
        self.missing = missing
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.settings = SimpleNamespace(add_optimization_profile=self._call("add_optimization_profile", 0))
        self.settings.clear_flag = self._call("clear_flag", None)
        if pools:
            self.settings.set_memory_pool_limit = self._call("set_memory_pool_limit", None)
        tensor = SimpleNamespace(name="x", shape=(-1, 3), dtype="DataType.FLOAT")
        self.network = SimpleNamespace(
            num_inputs=1,
            num_outputs=0 if missing == "outputs" else 1,
            get_input=lambda index: tensor,
            get_output=lambda index: tensor,
        )

    def _call(self, name: str, value: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return (-1 if isinstance(value, int) else None) if name == self.missing else value

        return call

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger
        if self.missing == "Builder":
            logger.log("Severity.ERROR", "CUDA initialization failure with error: 35")
            raise TypeError("factory function returned nullptr")
        return SimpleNamespace(
            create_network=self._call("create_network", self.network),
            create_builder_config=self._call("create_builder_config", self.settings),
            create_optimization_profile=self._call("create_optimization_profile", self._profile()),
            build_serialized_network=self._call("build_serialized_network", b"plan"),
        )

    def _profile(self) -> Any:
        return SimpleNamespace(set_shape=self._call("set_shape", None))

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        errors = [self._error(index) for index in range(3)]
        parser = SimpleNamespace(
            parse=lambda data: self.missing != "parse", num_errors=len(errors), get_error=lambda index: errors[index]
        )
        return self._call("OnnxParser", parser)()

    def _error(self, index: int) -> Any:
        return SimpleNamespace(
            desc=lambda: f"reason {index}",
            node=lambda: index,
            node_name=lambda: f"node_{index}",
            node_operator=lambda: "Wibble",
        )

    def made(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for each, arguments in self.calls if each == name]


def run(module: FakeTensorRt, batches: tuple[int, ...] = (1, 4)) -> Any:
    return build(Flavour(name="tensorrt", module=module, version="10.3.0"), b"onnx", batches, 1 << 20, BuildLog())


def test_the_network_is_strongly_typed_and_every_batch_has_its_profile() -> None:
    module = FakeTensorRt()
    built = run(module)
    assert (built.plan, built.dynamic) == (b"plan", True)
    assert module.made("create_network") == [(2,)]
    assert module.made("set_shape") == [("x", (1, 3), (1, 3), (1, 3)), ("x", (4, 3), (4, 3), (4, 3))]
    assert module.made("set_memory_pool_limit") == [(0, 1 << 20)]
    assert module.made("clear_flag") == [(7,)]
    assert module.settings.profiling_verbosity == 2
    assert set(built.seconds) == {"parse", "build"}


def test_a_release_without_memory_pools_is_built_with_all_the_same() -> None:
    assert run(FakeTensorRt(pools=False)).plan == b"plan"


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("create_network", "no network"),
        ("OnnxParser", "no parser"),
        ("create_builder_config", "no builder configuration"),
        ("create_optimization_profile", "no optimisation profile"),
        ("add_optimization_profile", "refused the profile"),
        ("build_serialized_network", "built no engine: no reason was logged"),
        ("outputs", "no outputs"),
    ],
)
def test_nothing_returned_is_never_passed_on(missing: str, said: str) -> None:
    with pytest.raises(CompileError, match=said):
        run(FakeTensorRt(missing))


def test_too_small_a_workspace_is_what_the_hint_is_about() -> None:
    log = BuildLog()
    log.add("ERROR", "no tactics to implement the operation within workspace limit")
    with pytest.raises(CompileError, match="within workspace limit") as caught:
        build(Flavour("tensorrt", FakeTensorRt("build_serialized_network"), "10.3.0"), b"onnx", (1,), 1 << 20, log)
    assert "1048576 bytes" in caught.value.hint
    assert "--workspace" in caught.value.hint


def test_a_builder_that_cannot_be_made_says_what_the_log_said() -> None:
    with pytest.raises(CompileError, match="CUDA initialization failure with error: 35"):
        run(FakeTensorRt("Builder"))


def test_every_parser_error_is_listed() -> None:
    with pytest.raises(CompileError, match=r"'node_0' \(Wibble\): reason 0 \(and 2 more\)") as caught:
        run(FakeTensorRt("parse"))
    assert [f"reason {index}" in caught.value.details for index in range(3)] == [True] * 3


def test_the_log_keeps_the_last_layers_and_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    log = BuildLog()
    for severity, message in [
        ("VERBOSE", "Layers:\nfirst"),
        ("VERBOSE", "Layers:\nlast"),
        ("VERBOSE", "chatter"),
        ("WARNING", "careful"),
        ("WARNING", "careful"),
        ("ERROR", "bad"),
        ("INFO", "fine"),
    ]:
        log.add(severity, message)
    assert log.layers == "Layers:\nlast"
    assert (log.warnings, log.errors) == (["careful"], ["bad"])
    assert "chatter" not in log.text()
    assert "[INFO] fine" in log.text()
    assert capsys.readouterr().out == ""
    for index in range(1000):
        log.add("INFO", f"line {index}")
    assert "line 999" in log.text()
    assert "bad" not in log.text()
