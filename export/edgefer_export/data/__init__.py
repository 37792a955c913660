"""Data sets: what they are, where they come from, how they become a network's inputs."""

from edgefer_export.data.dataset import Dataset, Image, Sample, combined_digest, pixel_digest, samples
from edgefer_export.data.sources import LAYOUTS, open_dataset, require_classes

__all__ = [
    "LAYOUTS",
    "Dataset",
    "Image",
    "Sample",
    "combined_digest",
    "open_dataset",
    "pixel_digest",
    "require_classes",
    "samples",
]
