"""OpenCV's late import."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("cv2")

PROGRAM = """
import threading
from edgefer.runtime.vision import opencv

failures, ready = [], threading.Barrier(8)

def use():
    ready.wait()
    try:
        opencv().resize
    except Exception as error:
        failures.append(error)

threads = [threading.Thread(target=use) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
raise SystemExit(str(failures[0]) if failures else 0)
"""


def test_eight_threads_may_need_it_first() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
