"""What a load test of a version says of a replica, and what is told beside it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from afterfit.core.metric import Metric
from afterfit.errors import UsageError
from afterfit.loadtest.slo import Slo
from afterfit.records.loadtest import LoadStep, LoadtestRecord
from afterfit.records.record import Environment
from afterfit.workspace.autoscaling import Told, _measured

SLO = Slo(0.99, 50.0)
QUIET = LoadStep(
    kind="double", schedule="poisson:10", rate=10.0, seconds=5.0, requests=50, achieved_rps=10.0,
    service_ms=((0.5, 2.0), (0.99, 8.0)),
)  # fmt: skip
BUSY = LoadStep(
    kind="double", schedule="poisson:400", rate=400.0, seconds=5.0, requests=2000,
    achieved_rps=400.0, service_ms=((0.5, 9.0), (0.99, 30.0)),
)  # fmt: skip


def load_test(**changed: Any) -> LoadtestRecord:
    """A load test that searched: 400 requests/s hold p99 <= 50 ms, with two workers."""
    told: dict[str, Any] = {
        "subject": "ab" * 32, "env": Environment(afterfit="0"), "schedule": "poisson:400",
        "requests": 2050, "errors": 0, "duration_s": 10.0, "rate": 205.0, "steps": (BUSY, QUIET),
        "slo": "p99 <= 50 ms", "settings": {"workers": 2, "queue_rows": 64},
        "sustained_rps": Metric(name="sustained_rps", value=400.0, low=380.0, high=410.0),
        "metrics": (Metric(name="cold_start_s", value=3.5),),
    }  # fmt: skip
    return LoadtestRecord(**{**told, **changed})


def test_a_load_test_tells_rate_service_places_queue_and_start() -> None:
    """The service is that of the quietest step: the lognormal of its median and 99th percentile."""
    found = _measured(Told(), load_test(), SLO)
    assert (found.rate, found.low, found.high) == (400.0, 380.0, 410.0)
    assert (found.concurrency, found.queue, found.cold_start_s) == (2, 128, 3.5)
    sigma = math.log(4.0) / 2.3263478740408408
    assert found.service_ms == pytest.approx(2.0 * math.exp(sigma**2 / 2))
    assert found.cv == pytest.approx(math.sqrt(math.exp(sigma**2) - 1))
    assert found.source == "its load test"


def test_what_is_told_wins() -> None:
    """And has no interval then."""
    told = Told(rate=300.0, service_ms=1.0, cv=0.2, concurrency=3, queue=0, cold_start_s=9.0)
    found = _measured(told, load_test(), SLO)
    assert (found.rate, found.low, found.service_ms, found.cv) == (300.0, None, 1.0, 0.2)
    assert (found.concurrency, found.queue, found.cold_start_s) == (3, 0, 9.0)
    assert found.source == "told, not measured"


@pytest.mark.parametrize("changed", [{"sustained_rps": None}, {"slo": "p99 <= 20 ms"}])
def test_a_load_test_without_this_objective_says_how_to_measure_it(changed: dict[str, Any]) -> None:
    """A rate within another objective is no rate within this one."""
    with pytest.raises(UsageError, match="how much one replica holds") as found:
        _measured(Told(cold_start_s=5.0), load_test(**changed), SLO)
    assert 'afterfit loadtest NAME@champion --slo "p99 <= 50 ms"' in found.value.fix
