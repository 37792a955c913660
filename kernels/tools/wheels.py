"""NVIDIA's tools as wheels of the package index, each set in a folder of its own beside the project's environment.

They would bring hundreds of megabytes and versions of their own into it, so they go to build/ and are used by path.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from edgefer.errors import EnvironmentMismatch

BUILD = Path(__file__).parents[2] / "build"


def side_folder(path: str, requirements: Sequence[str]) -> Path:
    """The folder build/`path` with these wheels in it (exact versions, without what they depend on), installed once.

    Raises:
        EnvironmentMismatch: pip could not get them; `details` has its own words.
    """
    folder = BUILD / path
    stamp = folder / f".installed-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if stamp.exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--no-compile", "--target", str(folder), *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise EnvironmentMismatch(
                f"pip could not install {', '.join(requirements)}",
                hint="these tools come from the package index; without it only what is in the tree can be tested",
                details=done.stderr.strip(),
            )
        stamp.touch()
    return folder
