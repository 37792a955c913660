"""What stands for the module cuda.bindings.driver: its functions, each giving a tuple that begins with a CUresult."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from signatures import BINDINGS, BINDINGS_ENUMS, BINDINGS_HANDLES, check, parameters, returns
from simulated_errors import error_text
from simulated_gpu import SimulatedGpu

ENUMS = {name: enum.IntEnum(name, dict(members)) for name, members in BINDINGS_ENUMS.items()}  # type: ignore[misc]


class Handle:
    """Something of the driver's, as the real package wraps it: `int` gives its address."""

    def __init__(self, value: int = 0) -> None:
        self._value = int(value)

    def __int__(self) -> int:
        return self._value

    def __index__(self) -> int:
        return self._value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and int(other) == self._value  # type: ignore[call-overload,no-any-return]

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._value:#x}>"


HANDLES = {name: type(name, (Handle,), {}) for name in BINDINGS_HANDLES}


class SimulatedBindings:
    """The module, for one simulated GPU."""

    def __init__(self, gpu: SimulatedGpu) -> None:
        self.gpu = gpu
        for name, made in {**ENUMS, **HANDLES}.items():
            setattr(self, name, made)

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if name not in BINDINGS:
            raise AttributeError(f"the table of signatures has no {name}")

        def function(*arguments: Any, **named: Any) -> tuple[Any, ...]:
            return self._call(name, check(BINDINGS, name, arguments, named))

        function.__name__ = name
        setattr(self, name, function)  # tests may put others in their places
        return function

    def _call(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if name in ("cuGetErrorName", "cuGetErrorString"):
            code = arguments[0].name
            return (ENUMS["CUresult"](0), (code if name == "cuGetErrorName" else error_text(code)).encode())
        kinds = [each.kind for each in parameters(BINDINGS[name][0])]
        plain = tuple(
            int(value) if kind in BINDINGS_HANDLES else value for kind, value in zip(kinds, arguments, strict=True)
        )
        code, *values = self.gpu.call(name, *plain)
        given = returns(BINDINGS[name][1])
        result = ENUMS["CUresult"][code]
        if result:
            return (result, *[None] * len(given))
        return (result, *(_wrapped(kind, value) for kind, value in zip(given, values, strict=True)))


def _wrapped(kind: str, value: Any) -> Any:
    made = HANDLES.get(kind) or ENUMS.get(kind)
    return value if made is None else made(value)
