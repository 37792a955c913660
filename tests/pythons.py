"""Run the tests under each Python named on the command line that this machine has: `make test-pythons`.

Without `--torch` the host half's packages come without PyTorch, whose CPU wheel exists for some interpreters only; the
tests that need it skip themselves, and what is left is the device half and the portable ONNX.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def requirements(with_torch: bool) -> list[str]:
    """What to install: the project with its extras, or with the host half's packages less PyTorch."""
    if with_torch:
        return ["--editable", f"{ROOT}[export,cpu,vision,test]"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    host = [line for line in extras["export"] if not line.startswith("torch")]
    return ["--editable", f"{ROOT}[cpu,vision,test]", *host]


def run(interpreter: str, with_torch: bool) -> int:
    """Install into an environment of its own and run the tests there; the exit code of the first that fails."""
    folder = ROOT / ".venvs" / Path(interpreter).name
    python = folder / "bin" / "python"
    steps = [
        [interpreter, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip>=24.1"],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            str(ROOT / "constraints.txt"),
            *requirements(with_torch),
        ],
        [
            str(python),
            "-m",
            "pytest",
            "-n",
            "2",
            "-m",
            "not slow and not network",
            "--benchmark-disable",
            "-q",
            "tests",
        ],
    ]
    for step in steps:
        code = subprocess.run(step, cwd=ROOT, check=False).returncode
        if code != 0:
            return code
    return 0


def find(interpreter: str) -> str | None:
    """The path of an interpreter that answers: on the path, or among pyenv's, whose shims answer for one only."""
    found = shutil.which(interpreter)
    if found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(versions.glob(f"*/bin/{Path(interpreter).name}"))
    return str(installed[-1]) if installed else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("interpreters", nargs="+")
    arguments = parser.parse_args()
    results: dict[str, str] = {}
    for interpreter in arguments.interpreters:
        found = find(interpreter)
        if found is None:
            results[interpreter] = "not found"
            continue
        code = run(found, arguments.torch)
        results[interpreter] = "passed" if code == 0 else f"failed with exit code {code}"
    for interpreter, result in results.items():
        print(f"{interpreter}: {result}")
    ran = [result for result in results.values() if result != "not found"]
    if not ran:
        print("none of these interpreters is on this machine", file=sys.stderr)
    return 0 if ran and all(result == "passed" for result in ran) else 1


if __name__ == "__main__":
    raise SystemExit(main())
