"""Pre-processing for Triton's Python backend, in front of a network.

Written by `edgefer triton`. It computes with the edgefer that is installed where Triton runs its Python models, so that
a fleet's server and a single session feed a network the same numbers; requirements.txt says what to install.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found,unused-ignore]

from edgefer.errors import EdgeferError
from edgefer.serve.prepare import Prepare
from edgefer.serve.settings import SETTINGS, PrepareSettings, read_settings


class TritonPythonModel:
    """Images by camera in, tensors out: what Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings beside this file; what is wrong with them keeps the model from being loaded."""
        settings = read_settings(Path(__file__).with_name(SETTINGS), PrepareSettings)
        self._roles = [str(spec.role) for spec in settings.inputs]
        self._prepare = Prepare(settings.inputs, settings.colour)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; a request that cannot be answered gets an error and spoils no other."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        tensors = {role: pb_utils.get_input_tensor_by_name(request, role) for role in self._roles}
        arrays = {role: None if tensor is None else tensor.as_numpy() for role, tensor in tensors.items()}
        present = arrays.pop("present", None)
        try:
            made = self._prepare(arrays, present)
        except EdgeferError as error:
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error)))
        outputs = [pb_utils.Tensor(f"prepared_{role}", array) for role, array in made.items()]
        return pb_utils.InferenceResponse(output_tensors=outputs)
