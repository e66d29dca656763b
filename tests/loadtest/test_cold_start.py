"""Starts are timed in their parts."""

from __future__ import annotations

import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from afterfit.core.metric import find
from afterfit.loadtest.cold_start import cold_start_metrics, measure_cold_starts

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_first_answer_is_told_apart_from_the_start_and_from_usual_ones() -> None:
    """A server that loads for 0.3 of 0.5 s, and whose first answer takes 20 ms."""
    ended = 0

    @contextmanager
    def start() -> Iterator[Any]:
        nonlocal ended
        yield SimpleNamespace(start_s=0.5, load_s=0.3, asked=0)
        ended += 1

    def ask(server: Any) -> None:
        server.asked += 1
        time.sleep(0.02 if server.asked == 1 else 0.0)

    starts = measure_cold_starts(start, ask)
    assert ended == len(starts) == 6
    assert all(each.process_s == pytest.approx(0.2) for each in starts)
    metrics = cold_start_metrics(starts)
    whole = find(metrics, "cold_start_s")
    first, usual = find(metrics, "cold_start_first_ms"), find(metrics, "cold_start_usual_ms")
    assert whole is not None
    assert whole.value is not None
    assert whole.low is not None
    assert whole.value >= 0.52
    assert whole.n == 6
    assert first is not None
    assert usual is not None
    assert (first.value or 0.0) >= 20 > (usual.value or 0.0)
