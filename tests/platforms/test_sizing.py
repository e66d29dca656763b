"""Machines over time: losses, lags, agreements, fixed hosts and what scales to zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.platforms.stand import machines_by_hand, measured, offer, service, trace

from afterfit.core.trace import Trace, preset
from afterfit.platforms.config import PlatformsConfig, Requirements
from afterfit.platforms.sizing import (
    IDLE_S,
    LAG_S,
    REACTION_S,
    Demand,
    busy_share,
    cold_share,
    fleet_of,
    lag_of,
    least_of,
)

NONE = PlatformsConfig(survive="none")


@settings(max_examples=60)
@given(
    rates=st.lists(st.floats(0, 900), min_size=1, max_size=30),
    carried=st.floats(3, 400),
    lag=st.one_of(st.none(), st.integers(0, 20_000)),
    survive=st.sampled_from(["none", "replica", "zone"]),
    zones=st.integers(2, 5),
    least=st.integers(1, 4),
)
def test_machines_are_those_of_the_rule(
    rates: list[float], carried: float, lag: float | None, survive: str, zones: int, least: int
) -> None:
    """Counted step by step, every moment has what carries it until more can answer, and a loss."""
    config = PlatformsConfig(survive=survive, zones=zones)  # type: ignore[arg-type]
    told = trace(*rates)
    found = fleet_of(Demand(told), carried, lag, config, least)
    counts = np.sort(machines_by_hand(told, carried, lag, config, least))
    assert found.told == pytest.approx((counts[0], counts.mean(), counts[-1]))
    assert float(found.shares.sum()) == pytest.approx(1.0)
    assert found.busy <= found.bare + 1e-9
    assert found.busy == pytest.approx(told.rates.mean() / carried)


@pytest.mark.parametrize(
    ("survive", "zones", "needed", "stands"),
    [("none", 2, 3, 3), ("replica", 2, 3, 4), ("zone", 2, 3, 6), ("zone", 3, 3, 5),
     ("zone", 3, 1, 2), ("zone", 6, 10, 12)],
)  # fmt: skip
def test_a_loss_leaves_what_is_needed(survive: str, zones: int, needed: int, stands: int) -> None:
    """One machine more, or so many that the fullest zone can go."""
    config = PlatformsConfig(survive=survive, zones=zones)  # type: ignore[arg-type]
    fleet = fleet_of(Demand(trace(needed * 10.0)), 10.0, 0.0, config)
    assert fleet.told == (stands, stands, stands)


def test_a_steeper_ramp_needs_headroom_and_a_flat_trace_none() -> None:
    """What stands follows the slope over the lag; no share of load is fixed."""
    flat, steep = trace(*[100.0] * 48), preset("flash-crowd").with_peak(100.0)
    lags = (0.0, 900.0)
    standing = [[fleet_of(Demand(t), 10.0, lag, NONE).mean for lag in lags] for t in (flat, steep)]
    assert standing[0] == [10.0, 10.0]
    assert standing[1][1] > 1.3 * standing[1][0]


def test_lag_is_reaction_start_and_model() -> None:
    """Facts where they are known; the slowest measured provider where they are not."""
    own = measured(cold_start_s=7.0)
    assert lag_of(offer(), own) == REACTION_S + 40 + 20 + 7
    assert lag_of(offer(service({"scale_lag_s": None})), own) == REACTION_S + LAG_S + 7
    assert lag_of(offer(service({"cold_start_s": None})), measured()) == REACTION_S + 40


@pytest.mark.parametrize("told", [{"autoscaling": False}, {"autoscaling": None}])
def test_what_does_not_scale_stands_for_the_peak(told: dict[str, bool | None]) -> None:
    """A fixed host, and a service of which nobody knows whether it scales."""
    assert lag_of(offer(service(told)), measured()) is None
    assert lag_of(offer(service(kind="host")), measured()) is None
    fleet = fleet_of(Demand(trace(10, 95, 20)), 10.0, None, NONE)
    assert fleet.told == (10, 10, 10)


def test_the_least_of_an_agreement_counts_where_one_is_asked_for() -> None:
    """Two machines only because the availability holds for two."""
    asked = PlatformsConfig(requirements=Requirements(availability=0.99))
    assert least_of(offer(), asked) == 2
    assert least_of(offer(), NONE) == 1
    assert least_of(offer(service({"least_replicas_of_sla": None})), asked) == 1


def test_a_month_has_the_requests_of_its_mean() -> None:
    """730 hours of the mean rate."""
    assert Demand(trace(1, 3)).per_month == pytest.approx(2 * 730 * 3600)


def test_one_at_a_time_is_busy_for_its_service() -> None:
    """Busy seconds are requests times service, whatever their spacing."""
    assert busy_share(Demand(trace(2, 4)), 10.0, 0.05, 1) == pytest.approx(3 * 0.05)


def test_several_at_once_are_busy_while_any_is_there() -> None:
    """As much as a simulation of independent arrivals says, less than one at a time."""
    rate, service_s, random = 8.0, 0.2, np.random.default_rng(3)
    starts = np.cumsum(random.exponential(1 / rate, 40_000))
    ends = np.maximum.accumulate(starts + service_s)
    idle = np.maximum(starts[1:] - ends[:-1], 0).sum()
    simulated = 1 - idle / (ends[-1] - starts[0])
    told = busy_share(Demand(trace(rate)), 100.0, service_s)
    assert told == pytest.approx(simulated, abs=0.01)
    assert told < rate * service_s


def test_cold_starts_are_those_after_a_pause() -> None:
    """As a simulation counts them at a low rate; hardly any at a high one."""
    rate, cold, random = 1 / 400.0, 2.0, np.random.default_rng(5)
    gaps = random.exponential(1 / rate, 40_000)
    simulated = float((gaps > IDLE_S).mean())
    steady = Trace("slow", np.full(2000, rate), 60.0)
    assert cold_share(Demand(steady), 100.0, cold) == pytest.approx(simulated, abs=0.02)
    assert cold_share(Demand(trace(50, 50)), 100.0, cold) < 1e-6
    assert cold_share(Demand(trace(0, 0)), 100.0, cold) == 0.0
