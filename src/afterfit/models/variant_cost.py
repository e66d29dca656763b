"""What it costs to have a graph loaded, in the process that holds the model."""

from __future__ import annotations

import time
from typing import Any

from afterfit.core.bundle import GraphOutput
from afterfit.models.native import NativeModel

__all__ = ["graph_cost"]

LOADS = 3


def graph_cost(
    native: NativeModel, data: bytes, inputs: Any, output: GraphOutput
) -> dict[str, float]:
    """Return {load_ms} of a graph: the least of three loads, its library being imported."""
    del native
    from afterfit.runtime.onnx import OnnxModel

    spent = []
    for _ in range(LOADS):
        start = time.perf_counter()
        OnnxModel(data, tuple(inputs), output, (), threads=1)
        spent.append(time.perf_counter() - start)
    return {"load_ms": min(spent) * 1e3}
