"""Parts of a cost: tiers, free grants, what stands beside machines, and that they add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.platforms.stand import machine, offer, rate, service, trace

from afterfit.platforms.config import PlatformsConfig, Requirements
from afterfit.platforms.cost import bill_of, busy_bill, charged_of, commit_of
from afterfit.platforms.evaluated import PARTS
from afterfit.platforms.rates import tiered
from afterfit.platforms.shapes import HOURS_PER_MONTH, Offer
from afterfit.platforms.sizing import Demand, fleet_of

EGRESS = (rate(0.0), rate(0.09, 100.0), rate(0.085, 10_240.0))
MONTH = HOURS_PER_MONTH * 3600
CONFIG = PlatformsConfig(survive="none", request_bytes=2000, response_bytes=500)


@pytest.mark.parametrize(
    ("amount", "usd"),
    [(0.0, 0.0), (100.0, 0.0), (101.0, 0.09), (10_240.0, 912.6), (10_340.0, 921.1)],
)
def test_each_tier_costs_its_own_rate(amount: float, usd: float) -> None:
    """A free grant, then each rate from its start on, whatever order they are told in."""
    assert tiered(EGRESS, amount) == pytest.approx(usd)
    assert tiered(EGRESS[::-1], amount) == pytest.approx(usd)
    assert tiered((), amount) == 0.0


def test_what_is_charged_beside_machines() -> None:
    """Requests, hours of a cluster and of a balancer, GB by bytes, storage: each by its rate."""
    told = service(rates={
        "requests": (rate(4e-7),), "cluster_h": (rate(0.1),), "balancer_h": (rate(0.0225),),
        "balancer_gb": (rate(0.008),), "egress_gb": EGRESS, "storage_gb": (rate(0.02),),
        "zone_gb": (rate(0.01),), "cdn_gb": (rate(0.05),),
    })  # fmt: skip
    found = charged_of(told, Demand(trace(100)), CONFIG).costs
    out, both = 100 * MONTH * 500 / 1e9, 100 * MONTH * 2500 / 1e9
    assert found["requests"] == pytest.approx(100 * MONTH * 4e-7)
    assert found["cluster"] == pytest.approx(73.0)
    assert found["balancer"] == pytest.approx(730 * 0.0225 + both * 0.008)
    assert found["egress"] == pytest.approx((out - 100) * 0.09)
    assert found["storage"] == pytest.approx(0.1)
    assert found["zones"] == found["cdn"] == 0.0


def test_zones_and_a_network_of_caches_change_what_is_charged() -> None:
    """Spread over three zones, two thirds cross; behind caches, egress is theirs."""
    told = service(rates={
        "egress_gb": EGRESS, "zone_gb": (rate(0.01),), "cdn_gb": (rate(0.05),),
    })  # fmt: skip
    config = PlatformsConfig(
        survive="zone", zones=3, cdn=True, request_bytes=2000, response_bytes=500
    )
    found = charged_of(told, Demand(trace(100)), config).costs
    assert found["zones"] == pytest.approx(100 * MONTH * 2500 / 1e9 * 2 / 3 * 0.01)
    assert found["cdn"] == pytest.approx(100 * MONTH * 500 / 1e9 * 0.05)
    assert found["egress"] == 0.0


def test_a_charge_without_a_price_is_told_where_it_is_used() -> None:
    """Storage that nobody uses and caches that nobody wants need no price."""
    told = service(unpriced=("storage_gb", "cdn_gb", "balancer_h", "gib_s"))
    none = PlatformsConfig(storage_gb=0.0)
    assert charged_of(told, Demand(trace(1)), none).unpriced == ("balancer_h", "gib_s")
    wanted = PlatformsConfig(storage_gb=1.0, cdn=True)
    assert charged_of(told, Demand(trace(1)), wanted).unpriced == told.unpriced


@given(
    carried=st.floats(20, 500),
    premium=st.floats(0, 0.03),
    lag=st.one_of(st.none(), st.integers(0, 3600)),
    survive=st.sampled_from(["none", "replica", "zone"]),
)
def test_parts_add_up_to_the_bill(
    carried: float, premium: float, lag: int | None, survive: str
) -> None:
    """All of them, none below 0, whatever stands and however it is paid."""
    config = PlatformsConfig(
        survive=survive,  # type: ignore[arg-type]
        requirements=Requirements(commitment="3y", interruptible=True),
    )
    told = offer(service(rates={"egress_gb": EGRESS}), on_demand=0.1, reserved_1y=0.06, spot=0.04)
    told = Offer(
        service=told.service, machine=told.machine, prices=told.prices, premium_per_hour=premium
    )
    demand = Demand(trace(*range(50, 1010, 40)))
    charged = charged_of(told.service, demand, config)
    fleet = fleet_of(demand, carried, lag, config)
    bill = bill_of(told, fleet, charged, config)
    assert bill is not None
    assert bill.paid is not None
    assert tuple(bill.costs) == PARTS
    assert bill.usd == pytest.approx(
        sum(charged.costs.values()) + bill.paid.usd * HOURS_PER_MONTH, rel=1e-12
    )
    assert min(bill.costs.values()) >= -1e-9
    machines = bill.paid.usd * HOURS_PER_MONTH
    assert bill.costs["premium"] == pytest.approx(premium / 0.1 * machines)
    if survive == "none":
        assert bill.costs["redundancy"] == pytest.approx(0.0, abs=1e-9)


def test_compute_is_what_the_traffic_fills() -> None:
    """Half full machines are half compute and half idle; one for a loss is redundancy."""
    config = PlatformsConfig(survive="replica")
    fleet = fleet_of(Demand(trace(15)), 10.0, 0.0, config)
    charged = charged_of(service(), Demand(trace(15)), config)
    bill = bill_of(offer(on_demand=1.0), fleet, charged, config)
    assert bill is not None
    told = {part: bill.costs[part] / HOURS_PER_MONTH for part in ("compute", "redundancy", "idle")}
    assert told == pytest.approx({"compute": 1.5, "redundancy": 1.0, "idle": 0.5})


def test_busy_instances_are_billed_by_the_second_after_a_grant() -> None:
    """VCPU and GiB each by their own tiers; without such rates by the hour's price."""
    told = service(
        kind="containers", billed="busy", sized="shares",
        rates={"vcpu_s": (rate(0.0), rate(2e-5, 180_000.0)), "gib_s": (rate(2e-6),)},
    )  # fmt: skip
    where = machine("2vcpu-4gib", vcpu=2.0, memory_gib=4.0)
    charged = charged_of(told, Demand(trace(1)), CONFIG)
    bill = busy_bill(offer(told, where), 0.25, charged)
    seconds = 0.25 * MONTH
    assert bill is not None
    assert bill.costs["compute"] == pytest.approx(
        (seconds * 2 - 180_000) * 2e-5 + seconds * 4 * 2e-6
    )
    hourly = busy_bill(offer(service(billed="busy"), on_demand=1.0), 0.25, charged)
    assert hourly is not None
    assert hourly.costs["compute"] == pytest.approx(0.25 * HOURS_PER_MONTH)
    assert busy_bill(offer(told, where, monthly=1.0), 0.25, charged) is None


def test_a_commitment_is_told_beside_what_it_replaces() -> None:
    """Machines, discount and both costs of a month; nothing where nothing is bound."""
    config = PlatformsConfig(survive="none")
    demand = Demand(trace(10, 10, 20))
    charged = charged_of(service(), demand, config)
    fleet = fleet_of(demand, 10.0, 0.0, config)
    bound = bill_of(offer(on_demand=1.0, reserved_1y=0.6), fleet, charged, config)
    assert bound is not None
    told = commit_of(bound.paid)
    assert told is not None
    assert (told.term, told.machines) == ("reserved_1y", 1)
    assert told.discount == pytest.approx(0.4)
    assert told.usd_per_month == pytest.approx((0.6 + 1 / 3) * 730)
    assert told.on_demand_usd_per_month == pytest.approx(4 / 3 * 730)
    plain = bill_of(offer(on_demand=1.0), fleet, charged, config)
    assert plain is not None
    assert commit_of(plain.paid) is None
