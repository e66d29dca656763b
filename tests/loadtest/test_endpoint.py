"""The whole load test of a server in virtual time, whose capacity is known."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from afterfit.core.metric import find
from afterfit.core.progress import Silent
from afterfit.core.serving_settings import ServingSettings
from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import Closed
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.endpoint import About, Endpoint, load_endpoint
from afterfit.loadtest.histogram import Histogram
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.report.load import load
from afterfit.store.environment import current_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from afterfit.loadtest.gathered import Live
    from afterfit.loadtest.shot import Arrivals, Shot
    from afterfit.records.loadtest import LoadtestRecord

SLO = Slo(quantile=0.99, limit_ms=50.0)


class Virtual:
    """Workers of 4 ms a request."""

    start_s, load_s, usual_rps = 0.5, 0.2, 0.0

    def __init__(self, settings: ServingSettings, shooter: Any = None) -> None:
        self.workers = settings.workers or 2
        self.lives: list[Live] = []
        self.faults: dict[Any, Callable[[], None]] = {"kill": lambda: None}
        self.shooter = shooter or VirtualServer(
            Service(4.0, "deterministic"), workers=self.workers, queue=200
        )

    def follow(self, schedule: Arrivals | Closed, seconds: float, seed: int) -> Shot:
        """Virtual servers have no users."""
        assert not isinstance(schedule, Closed)
        shot: Shot = self.shooter.fire(schedule, seconds, seed)
        return shot

    def memory_bytes(self) -> float | None:
        """A hundred megabytes each."""
        return 1e8 * self.workers

    def ask(self) -> None:
        """Answer at once."""


def endpoint(shooter: Any = None, *, ours: bool = True) -> Endpoint:
    """An endpoint on two cores, ours or one that runs elsewhere."""

    @contextmanager
    def stand(settings: ServingSettings) -> Iterator[Virtual]:
        yield Virtual(settings, shooter)

    about = About(
        subject="d" * 64,
        target="http://127.0.0.1:1/predict",
        env=current_environment(),
        settings=ServingSettings(workers=2, intra_op=1) if ours else None,
        cores=2,
    )
    return Endpoint(about, stand)


def value(record: LoadtestRecord, name: str) -> float:
    """The value of a metric that must be there."""
    metric = find(record.metrics, name)
    assert metric is not None, name
    assert metric.value is not None, name
    return metric.value


def test_the_rate_is_found_certified_and_told() -> None:
    """Two workers of 4 ms hold a p99 of 50 ms to nearly 500 requests/s."""
    record = load_endpoint(endpoint(), LoadConfig(slo=SLO, expected_rps=2000.0))
    assert record.status == "complete"
    assert record.sustained_rps is not None
    assert 440 < (record.sustained_rps.value or 0.0) < 500
    assert record.certificate is not None
    assert 0.64 < record.certificate.rate / (record.sustained_rps.value or 1.0) < 0.91
    assert record.certificate.confidence == 0.99
    assert value(record, "latency_p99_ms") < 50
    assert value(record, "queue_model_rps") == pytest.approx(
        value(record, "sustained_rps"), rel=0.1
    )
    assert 0 < value(record, "headroom") < 0.15
    assert (value(record, "replicas"), value(record, "replicas_spare")) == (5.0, 6.0)
    assert record.settings == {"workers": 2, "threads": 1, "batch_cap": 0}
    assert {f.code: f.outcome for f in record.findings} == {
        "L001": "passed",
        "L002": "passed",
        "L004": "passed",
        "L008": "passed",
        "L034": "passed",
    }
    assert record.windows
    assert record.schedule == "search"
    assert Histogram.decoded(record.histogram).total == record.requests
    assert load(record)[0].kind == "text"


def test_a_rate_that_is_asked_is_certified_without_a_search() -> None:
    """As a gate: a rate beyond the capacity gets no certificate."""
    held, not_held = (
        load_endpoint(endpoint(), LoadConfig(slo=SLO, at_rps=rate, certify_s=40.0))
        for rate in (300.0, 520.0)
    )
    assert held.certificate is not None
    assert held.certificate.rate == 300.0
    assert held.sustained_rps is None
    assert {step.kind for step in held.steps} == {"certify"}
    assert not_held.certificate is None


def test_a_rate_that_passed_once_is_certified_where_none_was_verified() -> None:
    """Four seconds are too short to verify anything, which is told before; a smaller rate holds."""
    said: list[str] = []

    class Told(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    config = LoadConfig(slo=SLO, budget_s=4.0, certify_s=30.0)
    record = load_endpoint(endpoint(), config, Told())
    assert "the search takes 4 s at most" in said[0]
    assert "a search of 4 s may verify no rate: give it 46 s" in said[1]
    assert record.sustained_rps is None
    assert record.certificate is not None
    assert 50.0 < record.certificate.rate < 500.0
    assert {f.code: f.outcome for f in record.findings}["L007"] == "issue"
    assert record.status == "complete"


class Late:
    """A server whose generator is late in the first certificate, as a neighbour makes it."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.server = VirtualServer(Service(4.0, "deterministic"), workers=2, queue=200)

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Fire; what is above three quarters of the limit cannot be measured once it was found."""
        shot = self.server.fire(arrivals, seconds, seed)
        self.rates.append(shot.rate)
        if max(self.rates) > 400.0 and 375.0 < shot.rate < 440.0:
            return dataclasses.replace(shot, invalid=("the generator was late",))
        return shot


def test_what_cannot_be_measured_is_certified_lower() -> None:
    """A busy machine that is late at nine tenths of the rate measures less of it."""
    record = load_endpoint(endpoint(Late()), LoadConfig(slo=SLO))
    assert record.sustained_rps is not None
    assert record.certificate is not None
    tried = [step for step in record.steps if step.kind == "certify"]
    assert tried[0].verdict == "invalid"
    assert record.certificate.rate < tried[0].rate


def test_settings_are_tried_chosen_and_admit_what_holds() -> None:
    """The record carries what `serve` takes over."""
    config = LoadConfig(slo=SLO, grid=True, caps=(0,), budget_s=120.0)
    record = load_endpoint(endpoint(), config)
    assert [p.settings.workers for p in record.grid] == [2, 1, 1]
    assert record.chosen is not None
    assert record.certificate is not None
    assert record.chosen.workers == 2
    assert record.chosen.admission_rps == int(record.certificate.rate)
    outcomes = {f.code: f for f in record.findings}
    assert outcomes["L032"].outcome == "passed"
    assert "worth up to" in outcomes["L033"].message


def test_a_soak_and_cold_starts_follow_the_search() -> None:
    """At sixty percent of what was found, with a fault that can be made and one that cannot."""
    config = LoadConfig(slo=SLO, soak_s=30.0, faults=("kill", "swap"), cold_starts=6, certify_s=8.0)
    record = load_endpoint(endpoint(), config)
    assert [f.name for f in record.faults] == ["kill", "swap"]
    assert record.steps[-1].kind == "fault"
    assert record.steps[-1].rate == pytest.approx(0.6 * value(record, "sustained_rps"))
    assert value(record, "cold_start_process_s") == pytest.approx(0.3)


def test_a_schedule_is_followed_and_nothing_else_is_claimed() -> None:
    """Without an objective there is a measurement, and no capacity."""
    record = load_endpoint(endpoint(), LoadConfig(schedule="poisson:200", seconds=10.0))
    assert record.schedule == "poisson:200"
    assert value(record, "throughput_rps") == pytest.approx(200, rel=0.1)
    assert record.sustained_rps is None
    assert record.certificate is None


def test_a_gap_in_a_trace_is_told(tmp_path: Path) -> None:
    """The run goes on without requests there, and a tip says from when to when."""
    times = [*np.arange(0, 3, 0.01), *np.arange(6, 9, 0.01)]
    path = tmp_path / "trace.csv"
    path.write_text("time\n" + "\n".join(f"{time:g}" for time in times))
    record = load_endpoint(endpoint(), LoadConfig(schedule=f"trace:{path}", seconds=9.0))
    (told,) = [finding for finding in record.findings if finding.code == "L009"]
    assert told.outcome == "tip"
    assert "the longest is 3.01 s from 2.99 s on" in told.message
    assert record.requests == len(times)


class Cut:
    """A server whose third run is stopped by ctrl-C."""

    def __init__(self) -> None:
        self.runs = 0
        self.server = VirtualServer(Service(4.0, "deterministic"), workers=2)

    def fire(self, arrivals: Arrivals, seconds: float, seed: int) -> Shot:
        """Fire."""
        self.runs += 1
        shot = self.server.fire(arrivals, seconds, seed)
        return dataclasses.replace(shot, cut=True) if self.runs == 3 else shot


def test_what_was_stopped_is_partial_and_holds_what_was_found() -> None:
    """Two runs were whole."""
    record = load_endpoint(endpoint(Cut()), LoadConfig(slo=SLO, soak_s=60.0))
    assert record.status == "partial"
    assert len(record.steps) == 3
    assert record.certificate is None
    assert record.faults == ()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (LoadConfig(at_rps=10.0), "without an objective"),
        (LoadConfig(slo=SLO, at_rps=10.0, schedule="poisson:1"), "rate of its own"),
        (LoadConfig(faults=("kill",), schedule="poisson:1"), "need a soak"),
        (LoadConfig(soak_s=5.0), "a soak needs a rate"),
        (LoadConfig(schedule="poison:400"), "no schedule"),
        (LoadConfig(slo=SLO, confidence=1.0), "out of range"),
        (LoadConfig(seconds=0.0), "needs some time"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(
    config: LoadConfig, text: str
) -> None:
    """With the way out."""
    with pytest.raises(UsageError, match=text) as caught:
        load_endpoint(endpoint(), config)
    assert caught.value.fix
