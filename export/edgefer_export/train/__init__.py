"""Training a registered network on any data set: `train(TrainSpec(...), reporter)`."""

from edgefer_export.train.result import EpochFigure, TrainResult
from edgefer_export.train.run import train
from edgefer_export.train.spec import TrainSpec

__all__ = ["EpochFigure", "TrainResult", "TrainSpec", "train"]
