"""`make wheelhouse`: a folder of wheels from which edgefer is installed without a package index, on another machine.

What has wheels is downloaded for the target; edgefer's own wheel is built. pip evaluates the conditions of
requirements, such as `python_version < "3.11"`, for the interpreter that runs it and not for the target, so this has to
run under the target's version of Python.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "device,cpu,vision,sign"
# JetPack 6 is Ubuntu 22.04, whose glibc is 2.35. pip does not derive the older tags from a newer one.
NEWEST_GLIBC = 35
CUDA = "12"
SUMS = "SHA256SUMS"
PYCUDA_NEEDS = ("mako", "pytools")
"""What pycuda's own wheel, compiled elsewhere, needs beside what edgefer does."""

ON_THE_DEVICE = """\
Not in the wheelhouse, because there are no wheels of it for this target:
  tensorrt  comes with JetPack: apt install nvidia-jetpack, and a virtual environment with --system-site-packages
  pycuda    is compiled against JetPack's CUDA: `pip wheel --no-deps pycuda` on one device, and its wheel put in here;
            sessions on the GPU need it"""


def platforms(machine: str, newest: int = NEWEST_GLIBC) -> list[str]:
    """The platform tags of wheels that a machine with this glibc takes, the oldest last."""
    return [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]


def own_wheel(folder: Path) -> list[str]:
    """The command that builds edgefer's wheel into the folder."""
    return [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]


def download(folder: Path, wheel: Path, machine: str, extras: str, cuda: str = CUDA) -> list[str]:
    """The command that downloads what edgefer with these extras needs on a target with this major release of CUDA."""
    tags = [word for tag in platforms(machine) for word in ("--platform", tag)]
    version = ".".join(map(str, sys.version_info[:2]))
    # The bindings of a later CUDA than the device's ask its driver for functions that it does not have.
    on_gpu = "device" in extras.split(",")
    bindings = [f"cuda-bindings=={cuda}.*"] if on_gpu else []
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary=:all:"),
        *("--implementation", "cp", "--python-version", version, *tags),
        *("--constraint", str(ROOT / "constraints.txt"), *(PYCUDA_NEEDS if on_gpu else ())),
        *(f"{wheel}[{extras}]" if extras else str(wheel), *bindings),
    ]


def write_sums(folder: Path) -> list[str]:
    """Write the digests of the wheels as `sha256sum --check` reads them; the lines."""
    wheels = sorted(folder.glob("*.whl"))
    lines = [f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel.name}" for wheel in wheels]
    (folder / SUMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Wheels for an installation of edgefer without a package index.")
    parser.add_argument("folder", type=Path, help="where the wheels go; one that is not there yet, or empty")
    parser.add_argument("--machine", default="aarch64", help="of the target, as `uname -m` says (aarch64)")
    parser.add_argument("--python", default="3.10", help="of the target; JetPack 6 has 3.10, JetPack 7 has 3.12 (3.10)")
    parser.add_argument("--cuda", default=CUDA, help=f"major release on the target; 13 in JetPack 7 ({CUDA})")
    parser.add_argument("--extras", default=EXTRAS, help=f"of edgefer ({EXTRAS})")
    arguments = parser.parse_args(words)
    running = ".".join(map(str, sys.version_info[:2]))
    if arguments.python != running:
        parser.error(
            f"the target has Python {arguments.python}, this is {running}: pip would leave out what only the target's "
            f"needs; run this under python{arguments.python}, which WHEELHOUSE_PYTHON names to `make wheelhouse`"
        )
    if arguments.folder.exists() and any(arguments.folder.iterdir()):
        parser.error(f"{arguments.folder} is not empty, and old wheels would be installed beside new ones: remove it")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if subprocess.run(own_wheel(arguments.folder), check=False).returncode:
        print("edgefer's own wheel could not be built", file=sys.stderr)
        return 1
    (wheel,) = arguments.folder.glob("edgefer-*.whl")
    command = download(arguments.folder, wheel, arguments.machine, arguments.extras, arguments.cuda)
    if subprocess.run(command, check=False).returncode:
        print(f"not everything has wheels for {arguments.machine} and Python {running}; see above", file=sys.stderr)
        return 1
    for line in write_sums(arguments.folder):
        print(line)
    print(ON_THE_DEVICE, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
