"""A server in virtual time behaves as queueing theory says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from afterfit.errors import UsageError
from afterfit.loadtest.arrivals import Constant, Poisson
from afterfit.loadtest.virtual import Service, VirtualServer

BATCHES = 40


def mean_wait(server: VirtualServer, rate: float, seconds: float) -> tuple[float, float]:
    """Return the mean wait in ms and its standard error, from means of long stretches."""
    shot = server.fire(Poisson(rate), seconds, 11)
    wait = (shot.latency_ms - server.service.mean_ms)[len(shot) // 20 :]
    means = np.array([part.mean() for part in np.array_split(wait, BATCHES)])
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(BATCHES))


def erlang_c(workers: int, load: float) -> float:
    """Return the probability of waiting in M/M/c; ``load`` is the utilisation."""
    offered = workers * load
    last = offered**workers / math.factorial(workers) / (1 - load)
    return last / (sum(offered**k / math.factorial(k) for k in range(workers)) + last)


@pytest.mark.parametrize(
    ("service", "square"),
    [
        (Service(1.0, "exponential"), 2.0),
        (Service(1.0, "deterministic"), 1.0),
        (Service(1.0, "lognormal", 1.5), 3.25),
    ],
)
def test_one_worker_waits_as_pollaczek_and_khinchine_say(service: Service, square: float) -> None:
    """M/M/1, M/D/1 and M/G/1: the mean wait is rate E[S²] / 2(1 - utilisation)."""
    rate, load = 700.0, 0.7
    wait, error = mean_wait(VirtualServer(service), rate, 1500.0)
    truth = rate / 1e3 * square / (2 * (1 - load))
    assert error < 0.03 * truth
    assert abs(wait - truth) < 4 * error


def test_several_workers_wait_as_erlang_says() -> None:
    """M/M/4 at 80 %: C / (c mu - rate)."""
    wait, error = mean_wait(VirtualServer(Service(4.0), workers=4), 800.0, 600.0)
    truth = erlang_c(4, 0.8) / (1000.0 - 800.0) * 1e3
    assert error < 0.05 * truth
    assert abs(wait - truth) < 4 * error


def test_a_bounded_queue_refuses_as_often_as_it_must() -> None:
    """M/M/1 with four in the system at most: the share of refusals is known in closed form."""
    shot = VirtualServer(Service(1.0), queue=3).fire(Poisson(900.0), 150.0, 5)
    load, most = 0.9, 4
    truth = (1 - load) * load**most / (1 - load ** (most + 1))
    assert np.mean(shot.status == 503) == pytest.approx(truth, rel=0.03)
    assert np.all(np.isinf(shot.latency_ms[shot.status == 503]))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kind", ["deterministic", "exponential"])
def test_all_ways_of_computing_agree(workers: int, kind: Any) -> None:
    """A queue without end, computed request by request, answers as the short ways do."""
    service, arrivals = Service(2.0 * workers, kind), Poisson(450.0)
    quick = VirtualServer(service, workers=workers).fire(arrivals, 20.0, 3)
    slow = VirtualServer(service, workers=workers, queue=10**9).fire(arrivals, 20.0, 3)
    assert np.allclose(quick.answered, slow.answered, rtol=0, atol=1e-9)


def test_batches_carry_what_single_requests_cannot() -> None:
    """Batches of eight at a tenth of a service time for each more: three times the rate holds."""
    single = VirtualServer(Service(1.0, "deterministic"))
    batched = VirtualServer(Service(1.0, "deterministic"), batch=8, per_more=0.1)
    latency = [s.fire(Poisson(3000.0), 10.0, 1).latency_ms for s in (single, batched)]
    assert np.median(latency[0]) > 1000
    assert np.max(latency[1]) < 20


def test_a_stall_is_in_every_latency_that_was_due_in_it() -> None:
    """A second of standing still: who is due in it waits until it is over, from when it was due."""
    server = VirtualServer(Service(0.1, "deterministic"), stalls=((2.0, 1.0),))
    shot = server.fire(Constant(100.0), 5.0, 0)
    inside = (shot.due > 2.0001) & (shot.due < 2.9999)
    assert inside.sum() > 90
    waited = shot.latency_ms[inside] - (3.0 - shot.due[inside]) * 1e3
    assert np.all((waited > 0) & (waited < 0.1 * 101))
    assert shot.latency_ms[~inside & (shot.due < 2)].max() == pytest.approx(0.1)


def test_stalls_one_after_another_add_up() -> None:
    """A request that outlasts two stalls waits for both."""
    server = VirtualServer(Service(500.0, "deterministic"), stalls=((0.1, 1.0), (1.3, 2.0)))
    shot = server.fire(Constant(1.0), 1.0, 0)
    assert shot.latency_ms[0] == pytest.approx(3500.0)


def test_a_generator_that_cannot_keep_up_says_so() -> None:
    """Its lag grows, the run is invalid, and service times are those of an idle server."""
    server = VirtualServer(Service(0.1, "deterministic"), generator_rps=1000.0)
    shot = server.fire(Poisson(2000.0), 5.0, 1)
    assert shot.invalid
    assert shot.lag.max() > 1.0
    assert shot.service_ms.max() < 1.0
    assert not server.fire(Poisson(500.0), 5.0, 1).invalid


def test_a_server_that_dies_answers_nothing_more() -> None:
    """From then on requests have no status and no answer, and the run counts as cut."""
    shot = VirtualServer(Service(1.0), dies_s=2.0).fire(Poisson(100.0), 4.0, 1)
    late = shot.due > 2.0
    assert shot.cut
    assert set(shot.status[late].tolist()) == {0}
    assert np.all(np.isnan(shot.answered[late]))
    assert np.all(shot.good[shot.due < 1.5])


def test_equal_seeds_answer_alike() -> None:
    """One seed, one run; another seed, another."""
    server = VirtualServer(Service(1.0), workers=2)
    runs = [server.fire(Poisson(500.0), 2.0, seed).answered for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert len(runs[0]) != len(runs[2]) or not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Service(0.0),
        lambda: Service(1.0, "lognormal", 0.0),
        lambda: Service(1.0, "cauchy"),  # type: ignore[arg-type]
        lambda: VirtualServer(Service(1.0), workers=0),
        lambda: VirtualServer(Service(1.0), batch=0),
        lambda: VirtualServer(Service(1.0), queue=-1),
    ],
)
def test_what_is_no_server_is_refused(make: Any) -> None:
    """Bad numbers are errors of usage that say what fits."""
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.fix
