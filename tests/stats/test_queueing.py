"""Queues against closed forms and a simulation."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from afterfit.errors import InputError
from afterfit.stats.queueing import erlang_c, late_share, most_rate, servers_needed, wait_tail


def test_the_chance_of_waiting_is_that_of_the_tables() -> None:
    """One server: its load. Two servers with a load of one: a third. Overload: everybody."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)
    assert erlang_c(4, 4.0) == 1.0
    assert 0 < erlang_c(1000, 950.0) < 1


def test_waits_of_exponential_service_are_exact() -> None:
    """M/M/1: a share of load waits, and of those exp(-(capacity - rate) t) longer than t."""
    service = -np.log((np.arange(100_000) + 0.5) / 100_000) / 10.0
    tail = wait_tail(np.array([0.0, 0.2, 0.5]), 7.0, service, 1)
    assert tail == pytest.approx(0.7 * np.exp(-3.0 * np.array([0.0, 0.2, 0.5])), rel=2e-3)


@pytest.mark.parametrize("servers", [1, 3])
def test_lateness_is_close_to_a_simulation(servers: int) -> None:
    """Constant and skewed service times, at a rate where one in twenty is late."""
    random = np.random.default_rng(1)
    for service in (np.full(2000, 0.01), random.lognormal(-4.9, 0.6, 2000)):
        limit = 0.06
        rate = most_rate(service, servers, limit, 0.05)
        assert late_share(rate, service, servers, limit) == pytest.approx(0.05, abs=1e-6)
        due = np.cumsum(random.exponential(1 / rate, 150_000))
        free = [0.0] * servers
        late = 0
        for at, takes in zip(due, random.choice(service, len(due)), strict=True):
            done = max(at, heapq.heappop(free)) + takes
            heapq.heappush(free, done)
            late += done - at > limit
        assert late / len(due) == pytest.approx(0.05, abs=0.025)


def test_service_that_is_too_slow_carries_nothing() -> None:
    """No waiting can be taken away where the service alone is late."""
    assert most_rate(np.full(10, 0.1), 4, 0.05, 0.01) == 0.0


def test_spare_replicas_and_zones() -> None:
    """Ten carry it; one may fail; one of three zones may fail with its third of all."""
    assert servers_needed(1000.0, 100.0) == 10
    assert servers_needed(1000.0, 100.0, spare=1) == 11
    assert servers_needed(1000.0, 100.0, spare=1, zones=3) == 15
    assert servers_needed(0.0, 100.0, spare=1) == 2
    with pytest.raises(InputError, match="carries nothing"):
        servers_needed(10.0, 0.0)


def test_a_queue_of_nothing_is_refused() -> None:
    """No service times, no servers."""
    with pytest.raises(InputError, match="no queue"):
        late_share(1.0, np.array([]), 1, 0.1)
