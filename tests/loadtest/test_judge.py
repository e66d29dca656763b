"""Verdicts and windows of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.judge import allowed_misses, judged, settled, windows
from afterfit.loadtest.shot import Shot
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.virtual import Service, VirtualServer

SLO = Slo(0.99, 50.0)


def shot(latency_ms: list[float], seconds: float = 10.0, **more: Any) -> Shot:
    """Return a run of evenly spaced requests with these latencies."""
    n = len(latency_ms)
    due = np.arange(n) * seconds / max(1, n)
    lag = np.asarray(more.pop("lag", np.zeros(n)), float)
    return Shot(
        schedule="constant",
        rate=n / seconds,
        seconds=seconds,
        due=due,
        written=due + lag,
        answered=due + np.asarray(latency_ms) / 1e3,
        status=np.asarray(more.pop("status", np.full(n, 200)), np.int16),
        wrong=np.asarray(more.pop("wrong", np.zeros(n)), np.bool_),
        lag=lag,
        **more,
    )


def test_one_miss_in_a_hundred_may_be() -> None:
    """Ten late answers of 1,000 pass p99, eleven fail, and the step says the numbers."""
    good = judged(shot([60.0] * 10 + [5.0] * 990), SLO, "measure", {"workers": 2})
    assert (good.verdict, good.misses, good.requests) == ("pass", 10, 1000)
    assert good.settings == {"workers": 2}
    bad = judged(shot([60.0] * 11 + [5.0] * 989), SLO, "measure")
    assert (bad.verdict, bad.misses) == ("fail", 11)
    assert "11 of 1000" in bad.why


def test_errors_and_wrong_answers_are_misses() -> None:
    """However quick: 503s and answers that differ from the expected count as not in time."""
    status = np.array([503] * 6 + [200] * 994)
    wrong = np.array([False] * 6 + [True] * 5 + [False] * 989)
    step = judged(shot([1.0] * 1000, status=status, wrong=wrong), SLO, "measure")
    assert (step.errors, step.wrong, step.misses, step.verdict) == (6, 5, 11, "fail")
    assert step.achieved_rps == pytest.approx(98.9)
    assert 1.0 not in dict(step.latency_ms)
    assert dict(step.latency_ms)[0.5] == pytest.approx(1.0)


def test_a_verdict_that_the_generator_made_is_none() -> None:
    """The same lateness is invalid where the generator was late and a failure where it was not."""
    late = [80.0] * 50 + [5.0] * 950
    lag = np.array([0.07] * 50 + [0.0] * 950)
    step = judged(shot(late, lag=lag), SLO, "measure")
    assert step.verdict == "invalid"
    assert "generator" in step.why
    assert step.lag_p99_ms == pytest.approx(70.0)
    assert dict(step.service_ms)[1.0] == pytest.approx(10.0)
    assert judged(shot(late), SLO, "measure").verdict == "fail"


def test_lag_that_decides_nothing_leaves_the_verdict() -> None:
    """A failure that would be one without the lag as well stays one."""
    lag = np.array([0.01] * 50 + [0.0] * 950)
    assert judged(shot([80.0] * 50 + [5.0] * 950, lag=lag), SLO, "measure").verdict == "fail"


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (shot([1.0] * 10, invalid=("steal of 12 %",)), "steal"),
        (shot([]), "no request"),
        (shot([1.0] * 10, cut=True), "cut short"),
    ],
)
def test_runs_that_prove_nothing_are_invalid(run: Shot, why: str) -> None:
    """What the generator calls invalid, what is empty, and what passed until it was cut short."""
    step = judged(run, SLO, "measure")
    assert step.verdict == "invalid"
    assert why in step.why


def test_a_run_that_failed_before_it_was_cut_failed() -> None:
    """A server that is gone did not hold the objective."""
    status = np.array([200] * 10 + [0] * 10)
    run = shot([1.0] * 20, status=status, cut=True, first_error="connection refused")
    step = judged(run, SLO, "measure")
    assert step.verdict == "fail"
    assert "connection refused" in step.why


@pytest.mark.parametrize(
    ("quantile", "n", "most"), [(0.99, 100, 1), (0.95, 100, 5), (0.9, 10, 1), (0.999, 999, 0)]
)
def test_allowed_misses_are_whole_requests(quantile: float, n: int, most: int) -> None:
    """Rounding of 1 - quantile takes and gives none."""
    assert allowed_misses(Slo(quantile, 1.0), n) == most


def test_the_warm_up_is_left_out_of_everything() -> None:
    """Times count from its end; a warm-up as long as the run is refused."""
    run = settled(shot([900.0] * 100 + [5.0] * 900), 1.0)
    assert (len(run), run.seconds, run.due[0]) == (900, 9.0, pytest.approx(0.0))
    assert judged(run, SLO, "measure").verdict == "pass"
    with pytest.raises(ValueError, match="warm-up"):
        settled(run, 9.0)


def test_windows_hold_every_request_once() -> None:
    """Their counts add up to those of the run; failures are in the window where they were due."""
    server = VirtualServer(Service(1.0), stalls=((3.2, 0.5),), queue=100)
    run = server.fire(Poisson(500.0), 10.4, 1)
    found = windows(run)
    assert len(found) == 11
    assert found[-1].seconds == pytest.approx(0.4)
    assert sum(w.due_rps * w.seconds for w in found) == pytest.approx(len(run))
    assert sum(w.good_rps * w.seconds for w in found) == pytest.approx(run.good.sum())
    assert [w.start_s for w in found if w.errors] == [3.0]
    assert found[3].p99_ms is None
    assert found[1].p50_ms is not None
    assert found[1].p99_ms is not None
    assert found[1].p50_ms < found[1].p99_ms < 100


def test_a_long_run_has_at_most_600_windows() -> None:
    """An hour is told in stretches of six seconds; empty ones have no percentiles."""
    found = windows(shot([1.0] * 100, seconds=3600.0))
    assert len(found) == 600
    assert {w.seconds for w in found} == {6.0}
    assert any(w.p50_ms is None for w in found)


@pytest.mark.parametrize(
    ("latency", "verdict"),
    [
        ([5.0] * 1000, "pass"),
        ([60.0] * 50 + [5.0] * 950, "invalid"),
        ([500.0] * 50 + [5.0] * 950, "fail"),
    ],
)
def test_what_slows_a_run_speaks_only_against_a_failure_that_it_explains(
    latency: list[float], verdict: str
) -> None:
    """Requests up to 8 ms late: 60 ms may be theirs, 500 ms are not, and 5 ms are good."""
    lag = np.array([0.008] * 10 + [0.0] * 990)[::-1]
    step = judged(shot(latency, lag=lag, slowed=("the generator was late",)), SLO, "measure")
    assert step.verdict == verdict
    assert ("the generator was late" in step.why) == (verdict == "invalid")
