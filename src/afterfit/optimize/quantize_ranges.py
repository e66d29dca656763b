"""The range of each number in a network, seen on real rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from afterfit.core.bundle import TensorInput
from afterfit.core.frame import Frame, batches
from afterfit.errors import ModelError
from afterfit.runtime.onnx import feed, onnx_session

__all__ = ["Calibrate", "Ranges", "ranges_of"]

Calibrate = Literal["min-max", "percentile", "entropy"]
Ranges = Mapping[str, tuple[float, float]]

ROWS_AT_ONCE = 64
BINS = 2048
LEVELS = 128
"""Of the coarser histogram that `entropy` compares with (Migacz, GTC 2017)."""


def ranges_of(
    model: Any,
    names: Sequence[str],
    frame: Frame,
    inputs: Sequence[TensorInput],
    *,
    how: Calibrate,
    percentile: float = 99.99,
) -> Ranges:
    """Return {value: (low, high)} of these values of the graph; raises ModelError.

    ``min-max`` keeps every number that was seen; ``percentile`` cuts the same small share from
    each end; ``entropy`` cuts where the histogram changes least by it.
    """
    session = _asked(model, names)
    spans: dict[str, tuple[float, float]] = {}
    for name, values in _seen(session, names, frame, inputs):
        if not np.isfinite(values).all():
            raise ModelError(
                "the network computes numbers that are not finite",
                why="a missing or infinite value reaches its weights",
                fix="fill missing values in front of the network",
            )
        low, high = spans.get(name, (0.0, 0.0))
        spans[name] = (min(low, float(values.min())), max(high, float(values.max())))
    if how == "min-max":
        return spans
    counts = {name: np.zeros(BINS) for name in names}
    for name, values in _seen(session, names, frame, inputs):
        if spans[name][0] < spans[name][1]:
            counts[name] += np.histogram(values, BINS, spans[name])[0]
    if how == "percentile":
        return {n: _percentile(counts[n], span, percentile) for n, span in spans.items()}
    return {n: _entropy(counts[n], span) for n, span in spans.items()}


def _asked(model: Any, names: Sequence[str]) -> Any:
    """Return a session that answers these values."""
    import onnx
    from onnx import TensorProto, helper

    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    asked.graph.output.extend(values)
    given = {value.name for value in asked.graph.input}
    for name in given & set(names):
        # ONNX Runtime gives no input back as an output.
        asked.graph.node.append(helper.make_node("Identity", [name], [f"{name}_seen"]))
        value = next(v for v in asked.graph.output if v.name == name)
        value.name = f"{name}_seen"
    return onnx_session(asked.SerializeToString())


def _seen(
    session: Any, names: Sequence[str], frame: Frame, inputs: Sequence[TensorInput]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every value that is asked for, a few rows at a time; empty ones are left out."""
    for part in batches(frame, ROWS_AT_ONCE):
        answers = session.run(None, {tensor.name: feed(part, tensor) for tensor in inputs})
        for name, values in zip(names, answers, strict=True):
            if values.size:
                yield name, values


def _percentile(
    counts: np.ndarray, span: tuple[float, float], percentile: float
) -> tuple[float, float]:
    edges: np.ndarray = np.linspace(*span, BINS + 1)
    share = np.cumsum(counts) / max(counts.sum(), 1.0)
    cut = 1.0 - percentile / 100.0
    low = edges[int(np.searchsorted(share, cut))]
    high = edges[min(int(np.searchsorted(share, 1.0 - cut)) + 1, BINS)]
    return min(float(low), 0.0), max(float(high), 0.0)


def _entropy(counts: np.ndarray, span: tuple[float, float]) -> tuple[float, float]:
    """Return the range that is cut at the distance from zero with the least divergence."""
    edges: np.ndarray = np.linspace(*span, BINS + 1)
    middle = np.abs(edges[:-1] + edges[1:]) / 2.0
    reach = max(abs(span[0]), abs(span[1]))
    if not reach or not counts.sum():
        return span
    folded = np.histogram(middle, BINS, (0.0, reach), weights=counts)[0]
    folded[0] = folded[1]  # zeros of a rectifier are exact with any scale
    best, least = BINS, np.inf
    for stop in range(LEVELS, BINS + 1, BINS // LEVELS):
        found = _divergence(folded, stop)
        if found < least:
            best, least = stop, found
    limit = reach * best / BINS
    return max(span[0], -limit), min(span[1], limit)


def _divergence(counts: np.ndarray, stop: int) -> float:
    """Return the Kullback-Leibler divergence of the first ``stop`` bins at 128 levels."""
    exact = counts[:stop].copy()
    exact[-1] += counts[stop:].sum()
    level = np.arange(stop) * LEVELS // stop
    filled = counts[:stop] > 0
    total = np.bincount(level, counts[:stop], LEVELS)
    many = np.maximum(np.bincount(level, filled, LEVELS), 1.0)
    coarse = np.where(filled, (total / many)[level], 0.0)
    if not exact.sum() or not coarse.sum():
        return float("inf")
    p, q = exact / exact.sum(), coarse / coarse.sum()
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-9))))
