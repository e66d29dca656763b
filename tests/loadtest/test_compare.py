"""Comparing two load tests: changes that are there, changes that are not, and unlike runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from afterfit.core.metric import Metric
from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.compare import Comparison, compare
from afterfit.loadtest.judge import judged, windows
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.record import Environment

SERVER = VirtualServer(Service(1.0))
SLO = Slo(0.99, 50.0)
LATENCIES = [f"latency_{name}_ratio" for name in ("p50", "p95", "p99")]
ALL = [*LATENCIES, "sustained_rps_ratio", "error_rate_difference"]


def rate_of(value: float) -> Metric:
    """Return a sustained rate with an interval of 4 %."""
    return Metric(
        name="sustained_rps",
        value=value,
        low=value * 0.96,
        high=value * 1.04,
        n=9,
        unit="requests/s",
    )


def record(
    server: VirtualServer = SERVER, seed: int = 0, seconds: float = 60.0, **more: Any
) -> LoadtestRecord:
    """Return the record of a run at 700 requests/s."""
    shot = server.fire(Poisson(700.0), seconds, seed)
    step = judged(shot, SLO, "measure")
    told: dict[str, Any] = {
        "subject": "a" * 64,
        "env": Environment(afterfit="1.0", cpu="EPYC", cores=2),
        "schedule": step.schedule,
        "requests": step.requests,
        "errors": step.errors,
        "duration_s": seconds,
        "rate": step.achieved_rps,
        "target": "http://127.0.0.1:4711/predict",
        "slo": str(SLO),
        "windows": windows(shot),
        "sustained_rps": rate_of(880.0),
    }
    return LoadtestRecord(**(told | more))


BASE = record()


def issues(found: Comparison) -> list[str]:
    """Return the codes of the issues."""
    return [finding.code for finding in found.findings if finding.outcome == "issue"]


def test_a_slower_server_is_told_to_be_slower() -> None:
    """A tenth more service time: every percentile is worse, with an interval above 1."""
    found = compare(BASE, record(dataclasses.replace(SERVER, service=Service(1.1)), seed=1))
    assert {found.verdicts[name] for name in LATENCIES} == {"worse"}
    p50 = found.metrics[0]
    assert p50.low is not None
    assert p50.high is not None
    # M/M/1: 1/(1000 - 700) against 1/(909 - 700), for every percentile.
    assert p50.low < 300 / 209 < p50.high
    assert issues(found) == ["L021"] * 3


def test_a_faster_server_is_told_to_be_faster() -> None:
    """The other way round it is better, and no issue."""
    found = compare(record(dataclasses.replace(SERVER, service=Service(1.1)), seed=1), BASE)
    assert {found.verdicts[name] for name in LATENCIES} == {"better"}
    assert issues(found) == []


def test_the_same_server_is_not_told_apart() -> None:
    """40 pairs of the same server: at 99 % each, more than 4 of 120 differ in 1 % of cases."""
    wrong = 0
    for seed in range(40):
        pair = [record(seed=2 * seed + turn, seconds=30.0) for turn in (100, 101)]
        found = compare(*pair)
        assert list(found.verdicts) == ALL
        wrong += sum(found.verdicts[name] != "cannot tell" for name in LATENCIES)
    assert wrong <= 4


@pytest.mark.parametrize(
    ("now", "verdict"), [(700.0, "worse"), (860.0, "cannot tell"), (1100.0, "better")]
)
def test_sustained_rates_are_compared_by_their_intervals(now: float, verdict: str) -> None:
    """More is better; what lies within both intervals is not told apart."""
    found = compare(BASE, record(seed=1, sustained_rps=rate_of(now)))
    assert found.verdicts["sustained_rps_ratio"] == verdict
    metric = found.metrics[3]
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < now / 880.0 < metric.high


def test_a_rate_without_an_upper_bound_is_told_on_one_side_only() -> None:
    """A lower bound may show that it is better, and nothing else."""
    open_rate = replace(rate_of(880.0), high=None)
    better = compare(BASE, record(seed=1, sustained_rps=replace(rate_of(2000.0), high=None)))
    assert better.verdicts["sustained_rps_ratio"] == "better"
    assert better.metrics[3].high is None
    found = compare(record(sustained_rps=open_rate), record(seed=1, sustained_rps=rate_of(2000.0)))
    assert found.verdicts["sustained_rps_ratio"] == "cannot tell"


def test_failures_in_clumps_are_no_proof() -> None:
    """One stall that refuses hundreds is one event; the same number all the time is worse."""
    clump = record(dataclasses.replace(SERVER, queue=60, stalls=((20.0, 0.6),)), seed=1)
    assert clump.errors > 200
    assert compare(BASE, clump).verdicts["error_rate_difference"] == "cannot tell"
    steady = record(dataclasses.replace(SERVER, queue=8), seed=1)
    found = compare(BASE, steady)
    assert found.verdicts["error_rate_difference"] == "worse"
    assert "L021" in issues(found)
    assert compare(BASE, record(seed=1)).verdicts["error_rate_difference"] == "cannot tell"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"target": "http://127.0.0.1:4711/v2/models/m/infer"}, "target"),
        ({"slo": "p99 <= 20 ms"}, "objective"),
        ({"schedule": "poisson:400"}, "schedule"),
        ({"env": Environment(afterfit="1.0", cpu="Xeon", cores=2)}, "cpu"),
        ({"env": Environment(afterfit="1.0", cpu="EPYC", cores=8)}, "cores"),
    ],
)
def test_unlike_runs_are_not_compared_unless_told_to(other: dict[str, Any], what: str) -> None:
    """Another quantity has no verdict; with ``anyway`` it has, and the difference is told."""
    now = record(seed=1, **other)
    found = compare(BASE, now)
    assert (found.verdicts, found.metrics) == ({}, ())
    (finding,) = found.findings
    assert (finding.code, finding.outcome) == ("L022", "issue")
    assert what in finding.message
    forced = compare(BASE, now, anyway=True)
    assert list(forced.verdicts) == ALL
    assert forced.findings[0].outcome == "issue"


def test_what_one_compares_may_differ() -> None:
    """Another version, other packages and settings, another port of the same machine."""
    env = Environment(afterfit="1.1", cpu="EPYC", cores=2, packages={"numpy": "2.2"})
    target = "http://localhost:5000/predict"
    now = record(seed=1, subject="b" * 64, env=env, settings={"workers": 2}, target=target)
    assert compare(BASE, now).findings[0].outcome == "passed"


@pytest.mark.parametrize(
    "now",
    [
        record(seed=1, windows=()),
        record(seed=1, seconds=3.0),
        record(dataclasses.replace(SERVER, queue=0), seed=1),
    ],
)
def test_what_has_no_percentiles_is_not_compared_by_them(now: LoadtestRecord) -> None:
    """No windows, too few, or so many failures that the percentile is infinite: it says why."""
    found = compare(BASE, now)
    assert found.verdicts["latency_p99_ratio"] == "cannot tell"
    told = next(f for f in found.findings if f.where == "latency_p99_ratio")
    assert told.outcome == "skipped"
    assert "too few seconds" in told.message


def test_a_record_without_a_search_has_no_ratio_of_rates() -> None:
    """It is told and is no verdict."""
    found = compare(BASE, record(seed=1, sustained_rps=None))
    assert found.verdicts["sustained_rps_ratio"] == "cannot tell"
    assert found.metrics[3].value is None
