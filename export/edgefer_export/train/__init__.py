"""Training a registered network on any data set: `train(TrainSpec(...), reporter)`.

`spec_from("naseem2025", network=..., ...)` takes the settings of a paper; `cross_validate` trains one network a fold.
"""

from edgefer_export.train.folds import cross_validate
from edgefer_export.train.folds_result import FoldFigure, FoldsResult, as_json
from edgefer_export.train.recipes import RECIPES, Recipe, recipes_for, spec_from
from edgefer_export.train.result import EpochFigure, TrainResult
from edgefer_export.train.run import train
from edgefer_export.train.spec import TrainSpec

__all__ = [
    "RECIPES",
    "EpochFigure",
    "FoldFigure",
    "FoldsResult",
    "Recipe",
    "TrainResult",
    "TrainSpec",
    "as_json",
    "cross_validate",
    "recipes_for",
    "spec_from",
    "train",
]
