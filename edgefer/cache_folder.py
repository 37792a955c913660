"""Where what this machine makes for itself is kept."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EDGEFER_CACHE"


def cache_folder() -> Path:
    """The folder that EDGEFER_CACHE names, or edgefer's own in the user's cache folder. It need not exist."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("edgefer"))
