"""How fast the forms of a model are, and which of two exact ones ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from afterfit.core.dataset import Dataset
from afterfit.core.frame import take
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature
from afterfit.models.booster_direct import Bare
from afterfit.models.convert import Converted
from afterfit.models.native import Hints
from afterfit.models.timebox import Asked, TimeOverError
from afterfit.optimize.config import OptimizeConfig
from afterfit.stats.quantile import quantile_metric

__all__ = [
    "Timings",
    "bare",
    "graph_arguments",
    "measure",
    "metrics_of",
    "prefers_onnx",
    "speedup",
]

Timings = dict[str, dict[int, np.ndarray]]
"""Form ("native", "onnx", "direct") to rows a call to the time of each call, µs."""


def measure(
    model: Asked,
    converted: Converted | None,
    signature: Signature,
    data: Dataset,
    config: OptimizeConfig,
    direct: Converted | None = None,
) -> Timings:
    """Return the times of the native model and, where there are, of its ONNX form and booster.

    A batch size that could not be measured in time is left out.
    """
    rng = np.random.default_rng(config.seed)
    others = {"onnx": converted, "direct": direct}
    timings: Timings = {"native": {}}
    timings |= {form: {} for form, made in others.items() if made}
    for rows in sorted(config.batches):
        frame = take(data.frame, rng.integers(0, len(data), rows))
        try:
            answer = model.call(
                "afterfit.models.convert_timing:time_beside",
                frame=frame,
                seconds=config.timing_seconds,
                classes=list(signature.classes),
                **graph_arguments(converted),
                direct=bare(direct, signature),
            )
        except TimeOverError:
            break
        for form, spent in answer.items():
            timings[form][rows] = np.asarray(spent)
    return timings


def graph_arguments(converted: Converted | None) -> dict[str, Any]:
    """Return what a function in the model's process needs to open the graph."""
    if converted is None:
        return {}
    return {
        "data": converted.data,
        "inputs": list(converted.inputs),
        "output": converted.output,
    }


def bare(made: Converted | None, signature: Signature) -> Bare | None:
    """Return a booster by itself, as a function in the model's process takes it."""
    return Bare(made.data, made.format, Hints.of(signature)) if made else None


def metrics_of(timings: dict[int, np.ndarray]) -> tuple[Metric, ...]:
    """Return the median and 99th percentile of each batch size with its calls, µs."""
    found: list[Metric] = []
    for rows, spent in sorted(timings.items()):
        for name, level in (("latency_p50_us", 0.5), ("latency_p99_us", 0.99)):
            found.append(quantile_metric(name, spent, level, unit="µs", scope=f"batch:{rows}"))
    return tuple(found)


def speedup(timings: Timings, rows: int) -> float:
    """Return how many times faster the ONNX form's median is."""
    return float(np.median(timings["native"][rows]) / np.median(timings["onnx"][rows]))


def prefers_onnx(timings: Timings, batches: Sequence[int], config: OptimizeConfig) -> bool:
    """Return whether the ONNX form ships: no slower anywhere, or faster where the goal is.

    ``batches`` are those that were measured; without any, nothing speaks for another form.
    """
    if not batches:
        return False
    slow = [rows for rows in batches if speedup(timings, rows) < 1 / (1 + config.max_slowdown)]
    if not slow:
        return True
    if len(slow) == len(batches):
        return False
    wanted = min(batches) if config.goal == "latency" else max(batches)
    return wanted not in slow
