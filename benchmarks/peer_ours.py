"""Our quantiser as a process of its own: `python peer_ours.py IN.onnx CALIBRATION.npz METHOD OUT.onnx`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from edgefer import atomic
from edgefer.progress import Silent
from edgefer_export.quantise import QuantiseSpec, quantise


def main(graph: str, calibration: str, method: str, output: str) -> None:
    """Quantise one graph on the images of an .npz, (count, C, H, W) by input name."""
    arrays = dict(np.load(calibration))

    def feeds() -> Iterator[dict[str, np.ndarray]]:
        for index in range(len(next(iter(arrays.values())))):
            yield {name: values[index : index + 1] for name, values in arrays.items()}

    quantised = quantise(onnx.load(graph), feeds, QuantiseSpec(method=method), Silent())  # type: ignore[arg-type]
    atomic.write_bytes(Path(output), quantised.model.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
