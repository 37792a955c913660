"""Install TensorRT-RTX where NVIDIA publishes a wheel for it, after saying what it is.

It is the one optional part of `make demo` and `make test` that is not free software, so nobody gets it without having
been told, and nobody is stopped by not having it.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import subprocess
import sys

REQUIREMENT = "tensorrt_rtx>=1.7"

NOTICE = f"""\
TensorRT-RTX ({REQUIREMENT}) is NVIDIA's proprietary package, under NVIDIA's own licence terms. edgefer uses it to
compile engines on this machine's CPU, which shows that a real TensorRT parser and builder take the graph. The engines
are built and not run here, and they are not for a Jetson. Set EDGEFER_NO_RTX=1 to leave it out.
Installing it now (about 100 MB)."""


def wheel_exists(system: str, machine: str) -> bool:
    """Whether the project uses NVIDIA's wheel on such a machine: x86-64 Linux."""
    return system == "Linux" and machine in {"x86_64", "AMD64"}


def main(argv: list[str] | None = None, environ: dict[str, str] | None = None) -> int:
    """Install the wheel or say why not; 0 in both cases, since everything works without it."""
    import os

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraint", default=None, help="constraints file handed to pip")
    arguments = parser.parse_args(argv)
    environment = os.environ if environ is None else environ
    if environment.get("EDGEFER_NO_RTX"):
        print("TensorRT-RTX is left out: EDGEFER_NO_RTX is set. No engine will be compiled.")
        return 0
    if not wheel_exists(platform.system(), platform.machine()):
        print(f"TensorRT-RTX has no wheel for {platform.system()} on {platform.machine()}; no engine will be compiled.")
        return 0
    if importlib.util.find_spec("tensorrt_rtx") is not None:
        return 0
    print(NOTICE, flush=True)
    constraint = ["--constraint", arguments.constraint] if arguments.constraint else []
    command = [sys.executable, "-m", "pip", "install", "--quiet", *constraint, REQUIREMENT]
    if subprocess.run(command, check=False).returncode != 0:
        print("TensorRT-RTX could not be installed; everything but the compiled engine works without it.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
