"""The benchmarks are a folder beside the tests and no installed package: the repository's root must be on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
