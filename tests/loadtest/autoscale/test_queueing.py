"""A replica as a queue: against closed forms, and calibrated by a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.errors import UsageError
from afterfit.loadtest.autoscale.queueing import Replica, calibrated, service_points
from afterfit.loadtest.slo import Slo
from afterfit.stats.queueing import erlang_c

SLO = Slo(0.99, 50.0)


def replica(**changed: float) -> Replica:
    """A replica of 10 ms with one place."""
    told = {"service_s": 0.01, "cv": 1.0, "concurrency": 1, "queue": 100, "cold_start_s": 5.0}
    return Replica(**{**told, **changed})  # type: ignore[arg-type]


def test_erlang_c_is_the_closed_form_of_one_and_two_servers() -> None:
    """P(wait) is rho for one server and 2 rho^2 / (1 + rho) for two."""
    loads = np.array([0.1, 0.5, 0.9])
    assert erlang_c(1, loads) == pytest.approx(loads)
    assert erlang_c(2, 2 * loads) == pytest.approx(2 * loads**2 / (1 + loads))


def test_service_points_have_the_mean_and_the_variation_asked_for() -> None:
    """The weighted points have the mean exactly, and nearly the variation."""
    points, weights = service_points(0.02, 0.8)
    mean = float(points @ weights)
    assert mean == pytest.approx(0.02)
    assert float(np.sqrt((points - mean) ** 2 @ weights)) / mean == pytest.approx(0.8, rel=0.05)


def test_the_tail_is_that_of_a_deterministic_service_with_an_exponential_wait() -> None:
    """Without variation nothing is quicker than the service, and the wait is exponential."""
    even = replica(cv=0.0)
    late = even.tail(np.array([0.5]), np.array([0.009, 0.02]))[0]
    assert late == pytest.approx([1.0, 0.5 * np.exp(-0.01 / 0.01)])


def test_the_mean_number_inside_is_that_of_pollaczek_and_khinchine() -> None:
    """L = rho + rho^2 (1 + cv^2) / (2 (1 - rho)) for one server."""
    assert replica(cv=0.5).curve.of_load(0.8) == pytest.approx(
        0.8 + 0.64 * 1.25 / (2 * 0.2), rel=2e-3
    )


def test_a_calibrated_replica_holds_the_objective_just_up_to_the_measured_rate() -> None:
    """Service slows down under load, as cores are shared; the measured rate is the edge."""
    made = calibrated(
        400, SLO, service_s=0.0021, cv=1.0, concurrency=2, queue=200, cold_start_s=8.0
    )
    assert made.service_s > 0.0021
    assert made.misses(400, 0.05) == pytest.approx(SLO.allowed, rel=1e-6)
    assert made.greatest_rate(SLO) == pytest.approx(400, rel=1e-6)
    assert made.greatest_rate(SLO, share=0.5) < 400


def test_a_quiet_service_that_is_slow_for_the_rate_varies_less_or_is_shorter() -> None:
    """The measured rate is believed: variation gives way first, then the time itself."""
    varies = calibrated(70, SLO, service_s=0.01, cv=1.0, concurrency=1, queue=9, cold_start_s=1)
    assert 0 <= varies.cv < 1.0
    assert varies.greatest_rate(SLO) == pytest.approx(70, rel=1e-6)
    shorter = calibrated(95, SLO, service_s=0.01, cv=1.0, concurrency=1, queue=9, cold_start_s=1)
    assert shorter.cv == 0
    assert shorter.service_s < 0.01


def test_numbers_that_contradict_each_other_say_what_would_fit() -> None:
    """400 requests/s of 6 ms are 2.4 at a time, which 2 places cannot hold."""
    with pytest.raises(UsageError, match="contradict") as found:
        calibrated(400, SLO, service_s=0.006, cv=1.0, concurrency=2, queue=9, cold_start_s=1)
    assert "--concurrency 3" in found.value.fix
