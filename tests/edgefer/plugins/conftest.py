"""Helpers beside these tests are imported as modules; the emulator of kernels is in the repository's root."""

import sys
from pathlib import Path

for _folder in (Path(__file__).parent, Path(__file__).resolve().parents[3]):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
