"""Visible, infrared and fused networks on synthetic pairs: `make bench-synthetic`; see `study_run.py`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Run by its path, a script finds its own folder and not the one above.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.study_run import main

    raise SystemExit(main())
