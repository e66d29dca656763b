"""Calls timed in turn, so that a noisy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

RUN_S = 0.005
"""Each form is called for so long before the next: single calls in turn would find cold caches."""

WARM_UP = 3
LEAST_CALLS = 15


def in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, np.ndarray]:
    """µs of each call by name; ``seconds`` bounds all of them together."""
    spent: dict[str, list[int]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    deadline = time.perf_counter() + seconds
    while True:
        for name, call in calls.items():
            until = time.perf_counter() + RUN_S
            while True:
                start = time.perf_counter_ns()
                call()
                spent[name].append(time.perf_counter_ns() - start)
                if time.perf_counter() >= until:
                    break
        enough = min(map(len, spent.values())) >= LEAST_CALLS
        if enough and time.perf_counter() >= deadline:
            return {name: np.array(each) / 1e3 for name, each in spent.items()}


def told(times: np.ndarray) -> dict[str, Any]:
    """Least, median and 99th percentile of the calls, µs."""
    return {
        "least_us": float(times.min()),
        "median_us": float(np.median(times)),
        "p99_us": float(np.quantile(times, 0.99)),
        "calls": len(times),
    }


def faster(base: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How many times faster ``other`` is, by the least and by the median."""
    return {
        "by_least": float(base.min() / other.min()),
        "by_median": float(np.median(base) / np.median(other)),
    }
