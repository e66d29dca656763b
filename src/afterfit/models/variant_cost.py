"""What it costs to have a graph loaded, in the process that holds the model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from afterfit.core.bundle import GraphOutput
from afterfit.models.native import NativeModel

__all__ = ["graph_cost"]

LOADS = 3
_STATM = Path("/proc/self/statm")


def graph_cost(
    native: NativeModel, data: bytes, inputs: Any, output: GraphOutput
) -> dict[str, float]:
    """Return {load_ms, memory_bytes} of a graph: the least of three loads, and the resident memory.

    Memory is what the process grew by while the first one loaded; it is
    left out where the system does not tell.
    """
    del native
    from afterfit.runtime.onnx import OnnxModel

    spent, before, after = [], _resident(), None
    models = []
    for _ in range(LOADS):
        start = time.perf_counter()
        models.append(OnnxModel(data, tuple(inputs), output, (), threads=1))
        spent.append(time.perf_counter() - start)
        if len(models) == 1:
            after = _resident()
    found = {"load_ms": min(spent) * 1e3}
    if before is not None and after is not None:
        found["memory_bytes"] = float(max(0, after - before))
    return found


def _resident() -> int | None:
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * 4096
