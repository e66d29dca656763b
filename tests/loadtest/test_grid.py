"""Settings are tried on servers in virtual time, whose best is known."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from afterfit.core.metric import Metric, find
from afterfit.core.serving_settings import ServingSettings
from afterfit.errors import InputError, UnavailableError
from afterfit.loadtest.arrivals import Poisson
from afterfit.loadtest.grid import GridConfig, best, combinations, try_grid
from afterfit.loadtest.scaling import (
    by_workers,
    capacity_metrics,
    fit_scaling,
    occupied_s,
    queue_rate,
    replica_metrics,
)
from afterfit.loadtest.slo import Slo
from afterfit.loadtest.virtual import Service, VirtualServer
from afterfit.records.loadtest import GridPoint, LoadStep
from afterfit.stats.usl import Usl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from afterfit.loadtest.shot import Shooter

SLO = Slo(quantile=0.99, limit_ms=50.0)
CONFIG = GridConfig(seconds=60.0, step_s=2.0)


class Virtual:
    """A server of 4 ms a request, in which a thread does 80 % of what a worker does."""

    usual_rps = 0.0

    def __init__(self, settings: ServingSettings) -> None:
        self.settings = settings
        fewer = 1 + 0.8 * (settings.intra_op - 1)
        self.shooter: Shooter = VirtualServer(
            Service(4.0 / fewer, "deterministic"), workers=settings.workers
        )

    def memory_bytes(self) -> float:
        """A worker takes 100 MB."""
        return 100e6 * self.settings.workers


@contextmanager
def virtual(settings: ServingSettings) -> Iterator[Virtual]:
    """Bring one up."""
    yield Virtual(settings)


def settings_of(workers: int, threads: int = 1) -> ServingSettings:
    """Settings without a cap."""
    return ServingSettings(workers=workers, intra_op=threads)


def test_combinations_fit_in_the_cores_and_are_not_repeated() -> None:
    """All cores in workers come first; a count that is no power of two is there too."""
    pairs = [(s.workers, s.intra_op) for s in combinations(6, (0,))]
    assert pairs[0] == (6, 1)
    assert len(set(pairs)) == len(pairs)
    assert all(workers * threads <= 6 for workers, threads in pairs)
    assert {(1, 1), (1, 6), (2, 2), (4, 1)} <= set(pairs)
    assert [s.batch_cap for s in combinations(1)] == [0, 1]


def test_the_best_is_by_what_counts() -> None:
    """Most requests with all cores in workers, the cheapest and the quickest with few cores."""
    tried = combinations(4, (0,))
    grid = try_grid(virtual, tried, SLO, Poisson, CONFIG)
    carried = {(p.settings.workers, p.settings.intra_op): p for p in grid.points}
    assert len(carried) == len(tried) == 6
    throughput, cost, latency = (best(grid.points, g) for g in ("throughput", "cost", "latency"))
    assert throughput is not None
    assert cost is not None
    assert latency is not None
    assert (throughput.settings.workers, throughput.settings.intra_op) == (4, 1)
    assert cost.settings.intra_op == 1
    assert (latency.settings.workers, latency.settings.intra_op) == (1, 4)
    assert carried[4, 1].sustained_rps == pytest.approx(4 * 250, rel=0.15)
    assert len({p.common_rps for p in grid.points}) == 1
    assert all(p.memory_bytes == 100e6 * p.settings.workers for p in grid.points)
    assert any(step.kind == "grid" for step in grid.steps)


def test_one_that_does_not_start_says_why_and_the_others_are_tried() -> None:
    """Too little memory for many workers, say."""

    @contextmanager
    def stand(settings: ServingSettings) -> Iterator[Virtual]:
        if settings.workers > 1:
            raise UnavailableError("the server did not get ready")
        yield Virtual(settings)

    grid = try_grid(stand, (settings_of(2), settings_of(1)), SLO, Poisson, CONFIG)
    assert [p.why for p in grid.points] == ["the server did not get ready", ""]
    assert grid.points[1].sustained_rps
    assert best(grid.points[:1], "cost") is None


def test_of_those_alike_the_smaller_is_taken() -> None:
    """Four percent more are not worth a second core."""
    points = [
        GridPoint(settings=settings_of(2), cores=2, sustained_rps=104.0),
        GridPoint(settings=settings_of(1), cores=1, sustained_rps=100.0),
    ]
    chosen = best(points, "throughput")
    assert chosen is not None
    assert chosen.settings.workers == 1


def test_the_law_goes_through_the_workers_and_is_refused_for_few() -> None:
    """Two numbers of workers are no curve."""
    law = Usl(250.0, 0.05, 0.002)
    points = [
        GridPoint(settings=settings_of(n), cores=n, sustained_rps=float(law.throughput(n)), n=100)
        for n in (1, 2, 4, 8)
    ]
    scaling = fit_scaling(points, 0)
    assert scaling.contention[0] == pytest.approx(0.05, rel=0.01)
    assert scaling.peak[0] == pytest.approx(law.peak, rel=0.02)
    assert max(p.workers for p in scaling.points) == 16
    assert [p.workers for p in scaling.points if p.measured] == [1, 2, 4, 8]
    assert by_workers(points) == {n: float(law.throughput(n)) for n in (1, 2, 4, 8)}
    with pytest.raises(InputError, match="2 different numbers"):
        fit_scaling(points[:2], 0)


def light(service_ms: float) -> LoadStep:
    """A run at a light load in which every request takes the same."""
    return LoadStep(
        kind="measure",
        schedule="poisson:10",
        rate=10.0,
        seconds=5.0,
        requests=50,
        achieved_rps=10.0,
        service_ms=((0.5, service_ms), (0.99, service_ms), (1.0, service_ms)),
    )


def test_the_queue_of_theory_is_near_what_the_virtual_server_carries() -> None:
    """Within 5 % for constant service times; headroom shrinks with parallelism."""
    for workers in (1, 4):
        foretold = queue_rate(light(4.0), workers, SLO)
        server = VirtualServer(Service(4.0, "deterministic"), workers=workers)
        shares = [
            float(server.fire(Poisson(foretold * factor), 400.0, 3).missed(SLO.limit_ms).mean())
            for factor in (0.95, 1.05)
        ]
        assert shares[0] < SLO.allowed < shares[1]
    one, four = (
        find(capacity_metrics(queue_rate(light(4.0), n, SLO), n, [light(4.0)], SLO, 50), "headroom")
        for n in (1, 4)
    )
    assert one is not None
    assert four is not None
    assert (one.value or 0.0) > (four.value or 0.0) > 0


def test_a_worker_is_busy_for_the_cpu_time_and_not_for_the_way_there() -> None:
    """A request that takes 4 ms at a light load and 1 ms of CPU leaves room for three others."""
    busy = msgspec.structs.replace(
        light(9.0), rate=1000.0, achieved_rps=1000.0, seen={"server_cpu": 1.0}
    )
    failed = msgspec.structs.replace(busy, rate=2000.0, verdict="fail")
    assert occupied_s([light(4.0), busy, failed]) == pytest.approx(0.001)
    assert occupied_s([light(4.0)]) is None
    model = find(capacity_metrics(800.0, 1, [light(4.0), busy], SLO, 50), "queue_model_rps")
    assert model is not None
    assert model.value == pytest.approx(queue_rate(light(1.0), 1, SLO), rel=1e-3)
    assert "1 ms of CPU a request" in model.method


def test_replicas_are_told_with_one_gone_and_with_a_zone_gone() -> None:
    """Bounds of the rate are bounds of the number, the other way round."""
    rate = Metric(name="sustained_rps", value=100.0, low=90.0, high=110.0, n=5000)
    replicas, spare, zone = replica_metrics(1000.0, rate)
    assert (replicas.value, replicas.low, replicas.high) == (10.0, 10.0, 12.0)
    assert spare.value == 11.0
    assert zone.value == 15.0
    assert np.isclose(zone.high or 0.0, 18.0)
