"""The outputs of a file as outputs of a bundle, from what the file answers, and which of them holds the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgefer.bundle.manifest import InputSpec
from edgefer.errors import ExportError, UsageError
from edgefer_export.foreign.inputs import FileInput
from edgefer_export.foreign.original import FileOutput, Original, Outputs
from edgefer_export.foreign.samples import WHOLE, Whole, random_tensors

_SEEDS = (31, 32, 33)


@dataclass(frozen=True)
class Tried:
    """What the file answers to random examples, and which whole numbers it takes."""

    answers: tuple[Outputs, ...]
    whole: Whole


def tried(original: Original, specs: tuple[InputSpec, ...], inputs: tuple[FileInput, ...], where: str) -> Tried:
    """Run the file on random examples.

    Raises:
        ExportError: it fails on all kinds, or answers with NaN or infinity.
    """
    entries = {entry.name: entry for entry in inputs}
    kinds = WHOLE if any(entry.integer for entry in inputs) else WHOLE[:1]
    failure: ExportError | None = None
    for whole in kinds:
        try:
            answers = tuple(original.one(random_tensors(specs, entries, seed, 1, whole), inputs) for seed in _SEEDS)
        except ExportError as problem:
            failure = failure or problem
            continue
        _check_finite(answers, where)
        return Tried(answers, whole)
    if failure is None:
        raise RuntimeError("a graph that never failed has answered")
    raise failure


def file_outputs(
    answers: Sequence[Outputs], names: Sequence[str], roles: Mapping[str, str], repeat: int, where: str
) -> tuple[tuple[FileOutput, ...], tuple[str, ...]]:
    """The bundle's outputs in the order of the file, and notes on them.

    The logits are the output stated; else the only one that is (1, classes), with two classes or more.

    Raises:
        UsageError: a name that the file does not give, several logits, or logits that are no row of scores.
    """
    unknown = sorted(set(roles) - set(names))
    if unknown:
        raise UsageError(f"{where} has no output `{unknown[0]}`.", hint=f"Its outputs are {', '.join(names)}.")
    outputs, notes = [], []
    for name in names:
        shapes = [answer[name].shape for answer in answers]
        varies = len(set(shapes)) > 1
        batched = all(shape and shape[0] == repeat for shape in shapes)
        shape = (1, *shapes[0][1:]) if batched else (1, *shapes[0])
        outputs.append(FileOutput(name, name, batched, shape, varies))
        if varies:
            notes.append(f"the shape of output {name} depends on the values of the inputs; {shape} is one of them")
        if not batched:
            notes.append(f"output {name} has no batch axis in the file; the bundle gives {shape}")
    logits = _logits(outputs, answers, roles, where)
    if logits is not None and logits not in roles:
        notes.append(f"output {logits} is taken for the logits, as the only one of a row of scores")
    return tuple(_marked(each) if each.name == logits else each for each in outputs), tuple(notes)


def _marked(output: FileOutput) -> FileOutput:
    return FileOutput(output.name, output.tensor, output.batched, output.shape, output.varies, logits=True)


def _logits(
    outputs: Sequence[FileOutput], answers: Sequence[Outputs], roles: Mapping[str, str], where: str
) -> str | None:
    stated = [name for name, role in roles.items() if role == "logits"]
    if len(stated) > 1:
        raise UsageError(f"`--output` states several logits: {', '.join(stated)}; a graph has one.")
    rows = {
        each.name: each.shape
        for each in outputs
        if each.batched
        and not each.varies
        and len(each.shape) == 2
        and each.shape[1] > 1
        and np.issubdtype(answers[0][each.name].dtype, np.floating)
    }
    if stated:
        if stated[0] not in rows:
            shape = next(each.shape for each in outputs if each.name == stated[0])
            raise UsageError(
                f"Output `{stated[0]}` of {where} is {shape}; logits are (1, classes) with two classes or more.",
                hint="Leave `:logits` out: a graph without logits becomes a bundle that gives its raw outputs.",
            )
        return stated[0]
    free = [name for name in rows if name not in roles]
    return free[0] if len(free) == 1 else None


def _check_finite(answers: Sequence[Outputs], where: str) -> None:
    for answer in answers:
        for name, value in answer.items():
            if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
                raise ExportError(
                    f"{where}: output '{name}' of the network itself holds NaN or infinity for random inputs in 0..1",
                    hint="check its divisions and logarithms",
                )
