"""What `edgefer train` says of its results and of the recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgefer.cli.output import facts, percent, table

if TYPE_CHECKING:
    from edgefer_export.intervals import Interval
    from edgefer_export.train import FoldsResult, Recipe, TrainResult

_ABOUT = ("name", "summary", "source", "networks", "ours", "left_out", "options")


def result_text(result: TrainResult) -> str:
    """A training, with its counts and their interval."""
    epochs = f"after epoch {result.best_epoch} of {len(result.history)}"
    if result.correct is None or result.interval is None:
        validation = f"loss {result.validation_loss:.4g} on {result.count} samples, {epochs}"
    else:
        validation = f"{_counted(result.correct, result.count, result.interval)}, {epochs}"
    return facts(
        [
            ("checkpoint", str(result.path)),
            ("network", f"{result.network}: {', '.join(result.labels)}" if result.labels else result.network),
            ("validation", validation),
            ("training", f"{result.samples} samples, {result.steps} steps, {result.stopped}, {result.arithmetic}"),
            ("seconds", f"{result.seconds:.1f}"),
        ]
    )


def folds_text(result: FoldsResult) -> str:
    """A table of the folds, and all of them together."""
    rows = [["fold", "right", "of", "accuracy", "95 % interval", "checkpoint"]]
    for fold in result.folds:
        share = percent(fold.correct / fold.count)
        rows.append([str(fold.fold), str(fold.correct), str(fold.count), share, _span(fold.interval), str(fold.path)])
    pooled = percent(result.correct / result.count)
    rows.append(["all", str(result.correct), str(result.count), pooled, _span(result.interval), str(result.path)])
    people = (
        "Nobody is on both sides of a fold."
        if result.by_subject
        else "The data does not tell people apart: one may be on both sides of a fold, and the figures be too good."
    )
    by_class = [["class", "right", "of", "recall"]]
    for index, label in enumerate(result.labels):
        right = sum(fold.class_correct[index] for fold in result.folds)
        count = sum(fold.class_count[index] for fold in result.folds)
        by_class.append([label, str(right), str(count), percent(right / count if count else None)])
    return "\n\n".join([table(rows, right=(0, 1, 2, 3)), people, table(by_class, right=(1, 2, 3))])


def recipes_text(recipes: Sequence[Recipe]) -> str:
    """The recipes one below the other, with every setting, where it comes from, and what is left out."""
    return "\n\n".join(_recipe_text(recipe) for recipe in recipes)


def recipes_payload(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """The recipes as JSON can hold them."""
    return [
        {
            "name": recipe.name,
            "summary": recipe.summary,
            "source": recipe.source,
            "networks": list(recipe.networks),
            "settings": {**recipe.settings(), "options": dict(recipe.options)},
            "ours": list(recipe.ours),
            "left_out": list(recipe.left_out),
        }
        for recipe in recipes
    ]


def _recipe_text(recipe: Recipe) -> str:
    settings = [
        f"{name}={f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in recipe.settings().items()
        if _is_said(name, value)
    ]
    options = [f"{name}={value}" for name, value in recipe.options.items()]
    lines = [
        ("for", ", ".join(recipe.networks) or "any network"),
        ("from", recipe.source),
        ("settings", ", ".join(settings)),
        ("options", ", ".join(options)),
        ("our choice", ", ".join(recipe.ours)),
        *(("left out", each) for each in recipe.left_out),
    ]
    told = "\n".join(f"  {line}" for line in facts(lines).splitlines())
    return f"{recipe.name}  {recipe.summary}\n{told}"


def _is_said(name: str, value: object) -> bool:
    """Whether a setting does anything."""
    nothing = value in (None, False, 0, 0.0, "none", "shuffled") or (name, value) in (
        ("moved", 1.0),
        ("head_rate", 1.0),
    )
    return name not in _ABOUT and not nothing


def _counted(correct: int, count: int, interval: Interval) -> str:
    return f"{correct} of {count} right ({percent(correct / count)}, 95 % interval {_span(interval)})"


def _span(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"
