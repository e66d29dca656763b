"""Terms: what to bind, what may be taken away, and what each costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.platforms.stand import offer, trace

from afterfit.core.trace import preset
from afterfit.platforms.commit import (
    INTERRUPTIONS_PER_H,
    bound_machines,
    cheapest_term,
    terms_of,
)
from afterfit.platforms.config import Commitment, PlatformsConfig, Requirements
from afterfit.platforms.sizing import Demand, Fleet, fleet_of

NONE = PlatformsConfig(survive="none")


def asked(commitment: Commitment = "1y", *, interruptible: bool = False) -> PlatformsConfig:
    """Settings that allow a commitment and, where said, machines that are taken away."""
    needs = Requirements(commitment=commitment, interruptible=interruptible)
    return PlatformsConfig(survive="none", requirements=needs)


def fleet(*machines: float) -> Fleet:
    """A fleet of so many machines, an hour each."""
    return fleet_of(Demand(trace(*machines)), 1.0, 0.0, NONE)


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=40), discount=st.floats(0.02, 0.9))
def test_the_newsvendor_is_the_optimum_of_every_number(counts: list[int], discount: float) -> None:
    """No other number of machines to bind costs less."""
    price = 1 - discount
    stood = np.array(counts)
    bound = bound_machines(fleet(*counts), price, 1.0)
    costs = [n * price + np.maximum(stood - n, 0).mean() for n in range(stood.max() + 1)]
    assert costs[bound] == pytest.approx(min(costs))


@pytest.mark.parametrize("discount", [0.28, 0.37, 0.55])
def test_bound_machines_are_within_one_percent_of_a_simulated_year(discount: float) -> None:
    """Days whose height varies by chance: what the usual day says is nearly best for the year."""
    random = np.random.default_rng(11)
    day = preset("diurnal").with_peak(400.0)
    usual = fleet_of(Demand(day), 10.0, 300.0, NONE)
    hours = day.rates.reshape(24, -1).mean(axis=1)
    year = (hours * random.lognormal(0, 0.08, (365, 1))).ravel()
    stood = np.ceil(year / 10.0)
    costs = [
        n * (1 - discount) + np.maximum(stood - n, 0).mean() for n in range(int(stood.max()) + 1)
    ]
    bound = bound_machines(usual, 1 - discount, 1.0)
    assert costs[bound] <= 1.01 * min(costs)
    share = float((usual.counts >= bound) @ usual.shares)
    assert share >= 1 - discount > float((usual.counts > bound) @ usual.shares)


def test_a_flat_fleet_is_bound_whole_and_a_rare_peak_is_not() -> None:
    """What always stands is bound, what stands for an hour of a day is not."""
    told = offer(on_demand=1.0, reserved_1y=0.6)
    flat = cheapest_term(told, fleet(*[5.0] * 24), asked())
    peak = cheapest_term(told, fleet(*[1.0] * 23, 9.0), asked())
    assert flat is not None
    assert peak is not None
    assert (flat.term, flat.machines) == ("reserved_1y", 5)
    assert flat.usd == pytest.approx(3.0)
    assert flat.discount == pytest.approx(0.4)
    assert flat.on_demand == pytest.approx(5.0)
    assert peak.machines == 1
    assert peak.usd == pytest.approx(0.6 + 8 / 24)
    assert peak.idle == pytest.approx(0.0)


def test_a_commitment_that_is_not_allowed_is_no_term() -> None:
    """``none`` has on demand alone, ``1y`` no three years; spot takes leave to be taken away."""
    told = offer(on_demand=1.0, spot=0.2, reserved_1y=0.6, savings_3y=0.4)
    assert list(terms_of(told, asked("none"))) == ["on_demand"]
    assert list(terms_of(told, asked("1y"))) == ["on_demand", "reserved_1y"]
    assert set(terms_of(told, asked("3y", interruptible=True))) == set(told.prices)


def test_spot_stands_above_what_must_not_go() -> None:
    """The least of the fleet stays on demand; the rest costs its price and its interruptions."""
    found = cheapest_term(
        offer(on_demand=1.0, spot=0.3), fleet(2.0, 2.0, 6.0, 6.0), asked(interruptible=True)
    )
    assert found is not None
    assert (found.term, found.machines) == ("spot", 2)
    assert found.usd == pytest.approx(2 + 2 * (0.3 + INTERRUPTIONS_PER_H))
    near = offer(on_demand=1.0, spot=0.97)
    dear = cheapest_term(near, fleet(2.0, 6.0), asked(interruptible=True))
    assert dear is not None
    assert dear.term == "on_demand"


def test_a_monthly_price_is_due_for_the_peak() -> None:
    """It is paid whether it runs or not, so the rest of the peak is idle."""
    found = cheapest_term(offer(monthly=0.5), fleet(1.0, 3.0), asked("none"))
    assert found is not None
    assert [found.machines, found.usd, found.idle] == pytest.approx([3, 1.5, 0.5])
    assert found.on_demand is None


def test_without_an_allowed_price_there_is_no_term() -> None:
    """Spot alone, and no leave to be taken away."""
    assert cheapest_term(offer(spot=0.1), fleet(1.0), asked()) is None
    assert cheapest_term(offer(spot=0.1), fleet(1.0), asked(interruptible=True)) is None
