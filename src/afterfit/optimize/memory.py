"""The memory that a graph takes, in a process that holds nothing else."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["graph_memory"]

PATIENCE_S = 60.0
_LOAD = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
data = sys.stdin.buffer.read()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
before = resident()
session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
print(resident() - before)
"""


def graph_memory(data: bytes) -> float | None:
    """Return the resident bytes that loading the graph adds; None where the system does not tell.

    Measured in a process of its own: one that loaded graphs before has memory left from them.
    """
    command = [sys.executable, "-E", "-P", "-c", _LOAD]
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=PATIENCE_S, check=True
        )
        return float(max(0, int(done.stdout)))
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
