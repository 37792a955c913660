"""What the simulated GPU lets edgefer call is what the real cuda.bindings has: functions, parameters, what comes back,
and enumerations. test_pycuda_stub.py says the same of pycuda."""

from __future__ import annotations

import re
from typing import Any

import pytest
from signatures import BINDINGS, BINDINGS_ENUMS, BINDINGS_HANDLES, parameters, returns

# How the package writes some of the table's kinds.
WRITTEN = {"char *": "bytes", "void_ptr": "Any"}
ANY = "Any"


@pytest.fixture(scope="module")
def cuda() -> Any:
    return pytest.importorskip("cuda.bindings.driver", exc_type=ImportError)


def declared(text: str) -> tuple[str, str | None]:
    """Name and kind of "unsigned int Flags", "error: CUresult" or "hStream", of which the kind is not written."""
    name, colon, kind = text.partition(":")
    if colon:
        found = re.search(r"[Tt]uple(\[\w+\])", kind)
        return name.strip(), f"tuple{found[1]}" if found else kind.strip()
    kind, _, name = text.strip().rpartition(" ")
    if name.startswith("*"):
        kind, name = f"{kind} *", name[1:]
    return name, WRITTEN.get(kind, kind) or None


def split(text: str) -> list[str]:
    """At commas outside of brackets."""
    return [part for part in re.split(r",\s*(?![^\[]*\])", text) if part]


@pytest.mark.parametrize("name", sorted(BINDINGS))
def test_a_function_of_the_bindings_has_these_parameters(cuda: Any, name: str) -> None:
    first = str(getattr(cuda, name).__doc__).strip().splitlines()[0]
    found = re.match(rf"{name}\((.*)\)\s*(->.*)?$", first)
    assert found is not None, first
    wanted = parameters(BINDINGS[name][0])
    real = [declared(part) for part in split(found[1])]
    assert [each for each, _ in real] == [each.name for each in wanted]
    for (_, kind), each in zip(real, wanted, strict=True):
        assert not each.optional
        # What has no kind is a handle, an address or a buffer: the package takes an object or a whole number.
        assert kind == each.kind or (kind is None and each.kind in (*BINDINGS_HANDLES, ANY)), each


@pytest.mark.parametrize("name", sorted(BINDINGS))
def test_a_function_of_the_bindings_gives_this(cuda: Any, name: str) -> None:
    text = str(getattr(cuda, name).__doc__)
    described = re.search(r"^( *)Returns\n\1-------\n(.*?)(\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    assert described is not None
    lines = [line.removeprefix(described[1]) for line in described[2].splitlines()]
    first, *values = [line for line in lines if line.strip() and not line.startswith(" ")]
    assert first == "CUresult"
    kinds = [re.sub(r":py:obj:`~\.(\w+)`", r"\1", value.partition(" : ")[2]) for value in values]
    assert tuple(kinds) == returns(BINDINGS[name][1])


@pytest.mark.parametrize("name", sorted(BINDINGS_ENUMS))
def test_an_enumeration_has_these_numbers(cuda: Any, name: str) -> None:
    real = {each.name: int(each) for each in getattr(cuda, name)}
    assert BINDINGS_ENUMS[name].items() <= real.items()


@pytest.mark.parametrize("name", BINDINGS_HANDLES)
def test_a_handle_is_a_class_that_gives_its_address(cuda: Any, name: str) -> None:
    assert int(getattr(cuda, name)(16)) == 16
