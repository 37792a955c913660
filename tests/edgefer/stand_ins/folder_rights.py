"""Whether this machine keeps anybody from writing, for tests of folders that may only be read."""

from __future__ import annotations

from pathlib import Path

import pytest


def needs_rights(folder: Path) -> None:
    """Skip the test where whoever runs it may write into any folder, as root may who has all of root's capabilities."""
    probe = folder / "may only be read"
    probe.mkdir()
    probe.chmod(0o500)
    try:
        (probe / "written").write_text("")
    except OSError:
        return
    finally:
        probe.chmod(0o700)
    pytest.skip("whoever runs this may write anywhere")
