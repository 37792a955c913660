"""What engines are built for apart from GPU and driver."""

from __future__ import annotations

import platform


def this_platform() -> str:
    """Operating system and machine, such as "Linux-aarch64"."""
    return f"{platform.system()}-{platform.machine()}"
