"""Sizes: floors and loads that survive the trace's ramps, a loss, and a schedule that leads."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.core.trace import Trace, greatest_ahead, preset
from afterfit.loadtest.autoscale.plans import TITLES, plan_of
from afterfit.loadtest.autoscale.queueing import calibrated
from afterfit.loadtest.autoscale.sizing import Fleet, Survive, blocks_of, size
from afterfit.loadtest.slo import Slo

SLO = Slo(0.99, 50.0)


def fleet(survive: Survive = "none", *, cold_start: float = 30.0, most: int | None = None) -> Fleet:
    """Replicas that hold p99 <= 50 ms up to 400 requests/s."""
    replica = calibrated(
        400, SLO, service_s=0.0021, cv=1.0, concurrency=2, queue=200, cold_start_s=cold_start
    )
    return Fleet.of(replica, SLO, survive, 3, most)


def test_the_greatest_ahead_is_that_of_a_window() -> None:
    """The maximum of each step and so many after it, beyond the end too."""
    rates = np.array([1.0, 5, 2, 3, 9, 1, 1])
    for steps in (0, 1, 2, 3, 6, 20):
        wanted = [rates[i : i + steps + 1].max() for i in range(len(rates))]
        assert greatest_ahead(rates, steps).tolist() == wanted


@pytest.mark.parametrize("name", ["diurnal", "growth", "flash-crowd", "black-friday"])
@pytest.mark.parametrize("survive", ["none", "replica", "zone"])
def test_each_ramp_is_survived(name: str, survive: Survive) -> None:
    """What runs at any time carries, after the loss, what comes until new replicas answer."""
    made, trace = fleet(survive), preset(name).with_peak(4000.0)
    sized = size(made, trace, 60.0, 0.1)
    replicas = np.maximum(np.ceil(trace.rates / sized.rate - 1e-9), sized.least)
    ahead = greatest_ahead(trace.rates, int(np.ceil(60.0 / trace.step_s)))
    assert (made.left(replicas) * made.safe_rate >= ahead * (1 - 1e-9)).all()
    assert sized.rate <= made.safe_rate / 1.1 + 1e-9
    assert sized.most >= made.needed(trace.peak)


def test_a_slow_start_takes_a_lower_load_or_a_higher_floor() -> None:
    """The room for ramps is no flat share: it follows from the cold start and the trace."""
    trace = preset("growth").with_peak(4000.0)
    quick = size(fleet(), trace, 15.0)
    slow = size(fleet(), trace, 1800.0)
    assert slow.rate < quick.rate
    assert size(fleet(), preset("flash-crowd").with_peak(4000.0), 60.0).least == 11


def test_more_places_at_once_may_be_fuller() -> None:
    """With eight places of a slower service a replica is safe at a higher load than with one."""
    loads = []
    for places in (1, 8):
        replica = calibrated(
            100, SLO, service_s=places * 0.006, cv=1.0, concurrency=places, queue=99,
            cold_start_s=5,
        )  # fmt: skip
        made = Fleet.of(replica, Slo(0.99, 400.0), "none", 3, None)
        loads.append(replica.load(made.safe_rate))
    assert loads[0] < loads[1]


def test_losses_take_replicas_of_their_own() -> None:
    """3,840 requests/s at 384 take 10: 11 with one to lose, 15 of three zones."""
    made = fleet()
    rate = made.safe_rate * 10
    assert [fleet(s).needed(rate) for s in ("none", "replica", "zone")] == [10, 11, 15]
    assert fleet("zone").left(np.array([15.0])).tolist() == [10]


def test_a_schedule_leads_and_joins_parts_that_are_alike() -> None:
    """Floors carry the peak of their part and begin the lead before it."""
    rates = np.concatenate([np.full(3600, 100.0), np.full(3600, 2000.0), np.full(7200, 90.0)])
    trace = Trace("steps", rates, 1.0)
    made = fleet()
    blocks = blocks_of(made, trace, 3600.0)
    assert [(b.start_s, b.end_s, b.least) for b in blocks] == [
        (0, 3600, 1), (3600, 7200, made.needed(2000)), (7200, 14400, 1),
    ]  # fmt: skip
    plan = plan_of("scheduled", made, trace)
    policy = plan.make(0.0)
    floor = policy.floor  # type: ignore[attr-defined]
    assert [floor(t) for t in (0, 3490, 3500, 7199, 7200)] == [1, 1, 6, 6, 1]
    assert plan.settings["lead_s"] == 105


@pytest.mark.parametrize("name", sorted(TITLES))
def test_every_policy_stays_within_what_there_can_be(name: str) -> None:
    """--max bounds all of them, and every setting is a number a controller takes."""
    plan = plan_of(name, fleet("replica", most=5), preset("diurnal").with_peak(4000.0))
    assert plan.size.least <= plan.size.most == 5
    assert plan.first <= 5
    assert all(value > 0 for value in plan.settings.values())


def test_scaling_to_zero_is_for_those_who_can() -> None:
    """An HPA keeps one replica."""
    trace = preset("diurnal").with_peak(100.0)
    least = {n: plan_of(n, fleet(), trace, to_zero=True).settings.get("min") for n in TITLES}
    assert {name for name, value in least.items() if value == 0} == {"keda", "knative", "ray"}
