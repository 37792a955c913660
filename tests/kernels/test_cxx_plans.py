"""The C++ library plans every launch as Python does: entries, grids, memory and parameters, and what it refuses."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefer.errors import UsageError
from edgefer.kernels import cbam, channel_gate, gated_fusion, gated_pool, local_gate
from edgefer.kernels.forms import FORMS, Element, Form
from edgefer.kernels.gating import COMBINATIONS, GateForms
from edgefer.kernels.plan import HOPPER, ORIN, THOR, Gpu, Plan, fill

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "kernels" / "plugin"
CASES = 1200
"""Of each operation."""

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")

Line = tuple[str, "Callable[[], str]", "Callable[[], Plan]", type[ctypes.Structure]]
"""What the program is asked, and Python's answers: why it is unsupported, and the plan with its structure."""

GPUS = (
    ORIN,
    Gpu("8.7", 8, 166_912),
    HOPPER,
    THOR,
    Gpu("8.6", 82, 101_376),
    Gpu("12.0", 170, 101_376),
    Gpu("7.5", 3, 20_000),
)
FORMS_AND_MORE = (*FORMS, Form("f16", "chw32"), Form("f32", "chw32"))


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[str]]:
    program = tmp_path_factory.mktemp("plans") / "plan_probe"
    source = Path(__file__).parent / "plugin_library" / "plan_probe.cpp"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{PLUGIN}", f"-I{ROOT / 'kernels' / 'include'}"]
    subprocess.run(["g++", *flags, str(source), "-o", str(program)], check=True)

    def run(lines: list[str]) -> list[str]:
        text = "\n".join(lines) + "\n"
        done = subprocess.run([str(program)], input=text, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.splitlines()

    return run


class Draw:
    """Seeded sizes, more often small ones, and forms, more often those that fit together."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def of(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def size(self, most: int) -> int:
        return max(1, int(most ** self.rng.random()))

    def truth(self) -> bool:
        return bool(self.rng.integers(2))

    def channels(self, form: Form) -> int:
        multiple = self.of(form.channel_multiple, form.channel_multiple, form.channel_multiple, 1)
        return multiple * self.size(640 // multiple)

    def batch(self) -> int:
        return 70_000 if self.size(50) == 49 else self.size(64)

    def weights(self, form: Form) -> Element:
        usual: Element = self.of("f32", "f16") if form.element == "i8" else form.element
        unusual: Element = self.of("f32", "f16", "i8")
        return self.of(usual, usual, usual, usual, unusual)

    def scale(self, form: Form) -> float:
        if form.element == "i8" and self.size(30) > 1:
            return float(np.float32(self.rng.random() + 0.01))
        return 0.0

    def gpu(self) -> Gpu:
        return self.of(*GPUS)


def words(*values: Any) -> str:
    return " ".join(_word(each) for each in values)


def _word(value: Any) -> str:
    if isinstance(value, Form):
        return f"{value.element} {value.layout}"
    if isinstance(value, tuple):
        return words(*value)
    if isinstance(value, bool):
        return str(int(value))
    return "-" if value is None else repr(value) if isinstance(value, float) else str(value)


def on(gpu: Gpu) -> str:
    return f"{gpu.multiprocessors} {gpu.shared_bytes}"


def gate_forms(draw: Draw) -> GateForms:
    usual = draw.of(*COMBINATIONS)
    if draw.size(10) > 1:
        return usual
    return GateForms(draw.of(*FORMS_AND_MORE), draw.of(usual.y, *FORMS_AND_MORE), draw.of("f32", "f16", "i8"))


def cbam_cases(draw: Draw) -> Iterator[Line]:
    while True:
        forms, gpu = gate_forms(draw), draw.gpu()
        shape = (draw.batch(), draw.channels(forms.y), draw.size(120), draw.size(120))
        scales = (draw.scale(forms.x), draw.scale(forms.x), draw.scale(forms.y))
        rest = (draw.of(3, 5, 7, 7, 7, 9, 4), draw.truth(), draw.truth(), *scales)
        node = cbam.Cbam(shape, draw.size(64), forms.x, forms.y, forms.weights, *rest)
        yield (
            words("cbam", on(gpu), shape, node.hidden, forms.x, forms.y, forms.weights, rest),
            lambda node=node: cbam.unsupported(node),
            lambda node=node, gpu=gpu: cbam.plan(node, gpu),
            cbam.CbamParams,
        )


def channel_gate_cases(draw: Draw) -> Iterator[Line]:
    while True:
        forms, gpu = gate_forms(draw), draw.gpu()
        shape = (draw.batch(), draw.channels(forms.y), draw.size(200), draw.size(200))
        gate = draw.of("sigmoid", "hard_sigmoid", "sigmoid", "softmax" if draw.size(9) == 8 else "sigmoid")
        slope = (float(np.float32(draw.rng.random())) for _ in range(2))
        rest = (gate, *slope, draw.scale(forms.x), draw.scale(forms.y))
        node = channel_gate.ChannelGate(shape, draw.size(2000), forms.x, forms.y, forms.weights, *rest)
        yield (
            words("channel_gate", on(gpu), shape, node.hidden, forms.x, forms.y, forms.weights, rest),
            lambda node=node: channel_gate.unsupported(node),
            lambda node=node, gpu=gpu: channel_gate.plan(node, gpu),
            channel_gate.ChannelGateParams,
        )


def gated_pool_cases(draw: Draw) -> Iterator[Line]:
    while True:
        form, gpu = draw.of(*FORMS_AND_MORE), draw.gpu()
        shape = (draw.batch(), draw.channels(form) * draw.of(1, 1, 8), draw.size(40), draw.size(40))
        node = gated_pool.GatedPool(shape, form, draw.weights(form), draw.truth(), draw.scale(form))
        yield (
            words("gated_pool", on(gpu), shape, form, node.weights, node.square, node.x_scale),
            lambda node=node: gated_pool.unsupported(node),
            lambda node=node, gpu=gpu: gated_pool.plan(node, gpu),
            gated_pool.GatedPoolParams,
        )


def gated_fusion_cases(draw: Draw) -> Iterator[Line]:
    while True:
        form, gpu = draw.of(*FORMS_AND_MORE), draw.gpu()
        shape = (draw.batch(), draw.channels(form), draw.size(40), draw.size(40))
        other = (*(shape[:2] if draw.size(9) > 1 else (draw.batch(), 32)), draw.size(40), draw.size(40))
        node = gated_fusion.GatedFusion(
            shape,
            other,  # type: ignore[arg-type]
            form,
            draw.weights(form),
            draw.of(None, "f32", "f16", "f16" if draw.size(9) > 1 else "i8"),
            *(draw.truth() for _ in range(3)),
            draw.scale(form),
            draw.scale(form),
        )
        flags = (node.square_visible, node.square_infrared, node.interleave)
        yield (
            words(
                "gated_fusion", on(gpu), shape, other, form, node.weights, node.mask, flags, node.x_scale, node.r_scale
            ),
            lambda node=node: gated_fusion.unsupported(node),
            lambda node=node, gpu=gpu: gated_fusion.plan(node, gpu),
            gated_fusion.GatedFusionParams,
        )


def local_gate_cases(draw: Draw) -> Iterator[Line]:
    while True:
        form, gpu = draw.of(*FORMS_AND_MORE), draw.gpu()
        most = draw.of(40, 40, 40, 3000)
        shape = (draw.batch(), draw.channels(form) * draw.of(1, 1, 8), draw.size(most), draw.size(most))
        node = local_gate.LocalGate(shape, draw.size(1000), form, draw.weights(form), draw.scale(form))
        yield (
            words("local_gate", on(gpu), shape, node.hidden, form, node.weights, node.x_scale),
            lambda node=node: local_gate.unsupported(node),
            lambda node=node, gpu=gpu: local_gate.plan(node, gpu),
            local_gate.LocalGateParams,
        )


OPERATIONS = {
    "cbam": cbam_cases,
    "channel_gate": channel_gate_cases,
    "gated_pool": gated_pool_cases,
    "gated_fusion": gated_fusion_cases,
    "local_gate": local_gate_cases,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_both_plan_the_same(operation: str, ask: Callable[[list[str]], list[str]]) -> None:
    cases = OPERATIONS[operation](Draw(seed=11))
    lines = [next(cases) for _ in range(CASES)]
    answers = ask([line[0] for line in lines])
    assert len(answers) == CASES
    kinds = []
    for (line, unsupported, plan, structure), answer in zip(lines, answers, strict=True):
        expected = _expected(unsupported, plan, structure)
        assert _found(answer, structure) == expected, line
        kinds.append(expected[0])
    # Equal for lack of plans would be no proof.
    assert kinds.count("plan") > CASES / 4
    assert kinds.count("unsupported") > CASES / 50
    launches = {len(_expected(*line[1:])[3]) for line, kind in zip(lines, kinds, strict=True) if kind == "plan"}
    assert launches == ({2} if operation == "local_gate" else {1, 2})


def _expected(unsupported: Callable[[], str], plan: Callable[[], Plan], structure: type[ctypes.Structure]) -> Any:
    reason = unsupported()
    if reason:
        return ("unsupported", reason)
    try:
        made = plan()
    except (UsageError, ValueError):
        return ("refused",)
    launches = [(each.entry, *each.grid, each.block, each.shared_bytes) for each in made.launches]
    return ("plan", made.workspace_bytes, _fields(fill(structure, made, {})), launches)


def _found(answer: str, structure: type[ctypes.Structure]) -> Any:
    kind, _, rest = answer.partition(" ")
    if kind != "plan":
        return (kind, rest) if rest else (kind,)
    workspace, parameters, *launches = rest.split()
    raw = bytes.fromhex(parameters)
    assert len(raw) == ctypes.sizeof(structure)
    grouped = [
        (launches[at], *(int(number) for number in launches[at + 1 : at + 6])) for at in range(0, len(launches), 6)
    ]
    return ("plan", int(workspace), _fields(structure.from_buffer_copy(raw)), grouped)


def _fields(parameters: ctypes.Structure) -> dict[str, Any]:
    return {each[0]: getattr(parameters, each[0]) for each in parameters._fields_}
