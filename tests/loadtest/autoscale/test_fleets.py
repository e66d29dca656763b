"""Both simulators: the exact one against theory, the one in means against the exact one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from afterfit.core.trace import preset
from afterfit.loadtest.autoscale.des import OwnQueues
from afterfit.loadtest.autoscale.policies import Hpa, Keda, Knative, Policy, Static
from afterfit.loadtest.autoscale.queueing import Replica
from afterfit.loadtest.autoscale.simulate import Means, Outcome, Requests, exact
from afterfit.loadtest.slo import Slo

Make = Callable[[], Policy]
SLO = Slo(0.99, 250.0)
EVEN = Replica(0.04, 0.0, 2, 500, 10.0)


def requests(rates: np.ndarray, seed: int = 0) -> Requests:
    """Requests by chance at a rate each second."""
    chance = np.random.default_rng(seed)
    counts = chance.poisson(rates)
    due = np.sort(np.repeat(np.arange(len(rates)), counts) + chance.random(counts.sum()))
    return Requests(due, float(len(rates)), 1.0, seed)


def crowd() -> np.ndarray:
    """40 requests/s, then 300 from 20 to 60 s on and a fall back."""
    return np.interp(np.arange(400), [0, 60, 80, 200, 260, 400], [40, 40, 300, 300, 60, 60])


def hpa() -> Policy:
    """An HPA for 30 requests/s a replica."""
    return Hpa("answered", 30.0, 2, 20, 2, window_s=30.0, phase_s=5.0)


@pytest.mark.parametrize("routing", ["own", "shared"])
def test_one_server_waits_as_long_as_pollaczek_and_khinchine_say(
    routing: Literal["own", "shared"],
) -> None:
    """M/D/1 at 80 %: requests inside by Little's law, over 400 s of 100 requests/s."""
    single = Replica(0.008, 0.0, 1, 10**6, 1.0)
    asked = requests(np.full(400, 100.0))
    fleet = OwnQueues(single, asked.due, 400, 1.0, 0, holds=True)
    fleet.add(1, 0.0)
    inside = np.mean([fleet.step(place).inside for place in range(400)])
    assert inside == pytest.approx(0.8 + 0.64 / (2 * 0.2), rel=0.15)
    outcome = exact(single, SLO, asked, Static(1), first=1, routing=routing)
    assert outcome.miss_share < 0.01


def test_counts_of_steps_add_up() -> None:
    """What came is answered, lost or still inside; busy is the time of what was answered."""
    asked = requests(np.full(60, 55.0))
    fleet = OwnQueues(Replica(0.04, 0.0, 2, 3, 1.0), asked.due, 60, 1.0, 0, holds=True)
    fleet.add(1, 0.0)
    samples = [fleet.step(place) for place in range(60)]
    came, answered = sum(s.arrived for s in samples), sum(s.answered for s in samples)
    lost = sum(s.lost for s in samples)
    assert came == len(asked.due)
    assert came - answered - lost == fleet.inside
    assert lost > 0
    assert sum(s.busy for s in samples) == pytest.approx(answered * 0.04, rel=0.01)
    assert np.isinf(fleet.latency).sum() == lost


def test_own_queues_are_slower_than_one_line() -> None:
    """A request that meets a busy replica waits there, though another is free."""
    asked = requests(np.full(120, 160.0))
    own = exact(EVEN, SLO, asked, Static(4), first=4)
    one = exact(EVEN, SLO, asked, Static(4), first=4, routing="shared")
    assert own.p_ms > 1.3 * one.p_ms


def both(
    rates: np.ndarray, make: Make, first: int, replica: Replica
) -> tuple[list[Outcome], Outcome]:
    """Three exact runs and the one in means, of the same rates."""
    asked = requests(rates)
    runs = [
        exact(replica, SLO, Requests(asked.due, asked.seconds, 1.0, seed), make(), first=first)
        for seed in range(3)
    ]
    means = Means.of(replica, SLO, 1.0).outcome(rates, make(), phase_s=0, first=first)
    return runs, means


MAKERS: dict[str, tuple[Make, float]] = {
    "knative": (lambda: Knative(1.5, 2, 20), 5.0),
    "knative, slow start": (lambda: Knative(1.5, 2, 20), 30.0),
    "hpa on what is inside": (lambda: Hpa("inside", 1.5, 2, 20, 2), 5.0),
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_means_agree_with_requests_in_a_crowd(name: str) -> None:
    """Late requests within a point, a finite percentile within 20 %, replica-hours within 2 %."""
    make, cold_start = MAKERS[name]
    runs, means = both(crowd(), make, 2, Replica(0.04, 0.5, 2, 500, cold_start))
    late = [run.miss_share for run in runs]
    assert 0.01 < np.mean(late) < 0.3
    assert means.miss_share == pytest.approx(np.mean(late), abs=0.01)
    assert means.p_ms == pytest.approx(np.mean([run.p_ms for run in runs]), rel=0.2)
    assert means.replica_hours == pytest.approx(np.mean([r.replica_hours for r in runs]), rel=0.02)


@pytest.mark.parametrize("rate", [100.0, 140.0, 170.0])
def test_means_agree_with_requests_at_a_steady_rate(rate: float) -> None:
    """Up to 85 % of the capacity of a fixed number; late ones within half a point."""
    runs, means = both(np.full(400, rate), lambda: Static(4), 4, Replica(0.04, 0.5, 2, 500, 5.0))
    assert means.miss_share == pytest.approx(np.mean([r.miss_share for r in runs]), abs=0.005)
    assert means.p_ms == pytest.approx(np.mean([run.p_ms for run in runs]), rel=0.2)


def test_requests_without_a_replica_are_held_or_lost() -> None:
    """From zero: held requests all come late; behind a plain Service they are lost."""
    rates = np.concatenate([np.zeros(20), np.full(100, 10.0)])
    asked = requests(rates)
    counts = np.bincount(asked.due.astype(int), minlength=len(rates)).astype(float)
    means = Means.of(EVEN, SLO, 1.0)

    def made() -> Policy:
        return Keda(Hpa("answered", 30.0, 1, 20, 2), 0, 20)

    for holds in (True, False):
        one = exact(EVEN, SLO, asked, made(), first=0, phase_s=0, holds=holds)
        other = means.outcome(counts, made(), phase_s=0, first=0, holds=holds)
        assert (one.lost.sum() > 100) is not holds
        assert other.lost.sum() == pytest.approx(one.lost.sum(), rel=0.02)
        assert other.miss_share == pytest.approx(one.miss_share, abs=0.02)


def test_a_run_is_the_same_again() -> None:
    """The seed decides everything."""
    asked = requests(crowd(), seed=3)
    one, two = (exact(EVEN, SLO, asked, hpa(), first=2) for _ in range(2))
    assert (one.p_ms, one.miss_share) == (two.p_ms, two.miss_share)
    assert (one.ready == two.ready).all()


def test_a_minute_is_broken_by_two_late_requests_at_least() -> None:
    """One of ten a minute is chance; 2 of 100 are more than 1 % allows."""

    def outcome(came: float, missed: float) -> Outcome:
        ones = np.ones(60)
        return Outcome(1.0, ones * came / 60, ones * missed / 60, ones * 0, ones, ones, 1.0)

    assert outcome(10, 1).violation_minutes(SLO) == 0
    assert outcome(100, 2).violation_minutes(SLO) == 1
    assert outcome(1000, 10).violation_minutes(SLO) == 0


def test_a_day_of_200_requests_a_second_takes_well_under_two_seconds() -> None:
    """Five policies are to take less than 10 s; CPU time, since machines are shared."""
    trace = preset("diurnal").with_peak(200.0)
    means = Means.of(Replica(0.04, 0.5, 2, 500, 30.0), SLO, trace.step_s)
    started = time.process_time()
    outcome = means.outcome(trace.rates * trace.step_s, hpa(), phase_s=0, first=2)
    assert time.process_time() - started < 2
    assert outcome.requests == pytest.approx(trace.requests, rel=0.01)
