"""The whole evaluation: the cheapest is that of an exhaustive search, bounds and checks hold."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from tests.platforms.stand import (
    exhaustive,
    machine,
    measured,
    offer,
    random_requirements,
    rate,
    service,
    trace,
)

from afterfit.core.trace import preset
from afterfit.errors import UsageError
from afterfit.platforms.catalog import builtin
from afterfit.platforms.config import PlatformsConfig, Requirements
from afterfit.platforms.evaluate import cheapest, evaluate
from afterfit.platforms.evaluated import PARTS, Evaluated
from afterfit.platforms.shapes import HOURS_PER_MONTH, Check, Offer

REPLICA = measured(
    rate=90.0, low=85.0, high=95.0, service_ms=8.0, cold_start_s=3.0,
    machine="aws/us-east-1/m7i.large",
)  # fmt: skip
DAY = trace(*(100 + 300 * math.sin(hour / 24 * math.pi) ** 2 for hour in range(24)))


def one(told: Offer, config: PlatformsConfig | None = None, **known: Any) -> Evaluated:
    """One offer, evaluated for the day."""
    settings = config or PlatformsConfig(slo="p99<50ms", **known)
    return evaluate([told], settings, REPLICA, DAY)[0]


def check_of(found: Evaluated, name: str) -> Check:
    """Its check of that name."""
    (check,) = [check for check in found.checks if check.name == name]
    return check


def test_the_choice_is_that_of_an_exhaustive_search() -> None:
    """In 500 random sets of requirements, over offers of the catalog drawn anew for each."""
    random, ends = np.random.default_rng(2026), Counter[str]()
    catalog = builtin().offers()
    for _ in range(500):
        offers = [catalog[i] for i in random.choice(len(catalog), 8, replace=False)]
        config = random_requirements(random)
        evaluated = evaluate(offers, config, REPLICA, DAY)
        found = cheapest(evaluated)
        wanted = exhaustive(evaluated, config, REPLICA, DAY)
        ends["none" if wanted is None else "chosen"] += 1
        if wanted is None:
            assert found is None
        else:
            assert found is not None
            assert found.usd is not None
            assert found.offer.id == wanted[1]
            assert found.usd.value == pytest.approx(wanted[0])
    assert min(ends["none"], ends["chosen"]) > 50, ends


def test_parts_add_up_and_bounds_hold_for_the_whole_catalog() -> None:
    """Every offer that has a cost has all parts, its sum, and an order of bounds."""
    config = PlatformsConfig(slo="p99<50ms", requirements=Requirements(commitment="3y"))
    found = evaluate(builtin().offers(), config, REPLICA, preset("diurnal").with_peak(400.0))
    priced = [each for each in found if each.usd is not None]
    assert len(priced) > 1000
    for each in priced:
        assert each.usd is not None
        assert each.machines is not None
        assert tuple(each.costs) == PARTS
        assert sum(each.costs.values()) == pytest.approx(each.usd.value, rel=1e-12)
        assert 0 < each.usd.low <= each.usd.value == each.usd.high
        assert min(each.costs.values()) > -1e-9
        assert each.machines[0] <= each.machines[1] <= each.machines[2]
        if each.commit is not None:
            assert each.commit.usd_per_month <= each.commit.on_demand_usd_per_month * (1 + 1e-9)
    unpriced = [each for each in found if each.usd is None]
    assert unpriced
    assert all(each.unknown or each.failed for each in unpriced)


def test_the_term_is_the_cheapest_that_is_allowed() -> None:
    """Three years where they may be bound, one year where not, and on demand with nothing bound."""
    told = offer(on_demand=0.1, reserved_1y=0.063, reserved_3y=0.045)
    terms = {}
    for commitment in ("none", "1y", "3y"):
        asked = Requirements(commitment=commitment)
        terms[commitment] = one(told, requirements=asked)
    assert [each.term for each in terms.values()] == ["on_demand", "reserved_1y", "reserved_3y"]
    costs = [each.usd.value for each in terms.values() if each.usd]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 3


def test_what_is_known_less_costs_more_to_be_sure() -> None:
    """Sized by the least: a guess from another tier costs more than what was measured."""
    here = one(offer())
    guess = one(offer(where=machine("m7g.large", tier="i8mm", arch="arm64", coremark=50_000.0)))
    assert here.usd is not None
    assert guess.usd is not None
    assert guess.usd.low < here.usd.low
    assert guess.usd.value > here.usd.value


def test_a_probe_makes_a_guess_a_number() -> None:
    """Its bounds close in, and what had to be confirmed is known."""
    told = offer(where=machine("m7g.large", tier="i8mm", arch="arm64", coremark=50_000.0))
    config = PlatformsConfig(slo="p99<50ms")
    probe = measured(
        rate=120.0, low=115.0, high=125.0, tier="i8mm", arch="arm64", service_ms=6.0,
        machine="aws/us-east-1/m7g.large",
    )  # fmt: skip
    before = evaluate([told], config, REPLICA, DAY)[0]
    for probes in ((probe,), {"m7g": probe}):
        after = evaluate([told], config, REPLICA, DAY, probes)[0]
        assert check_of(before, "latency").outcome == "unknown"
        assert check_of(after, "latency").outcome == "pass"
        assert after.capacity is not None
        assert after.capacity.basis == "measured"
        assert after.capacity.rate == pytest.approx(240, rel=0.05)


def test_latency_that_cannot_be_held_fails_whatever_it_costs() -> None:
    """A request alone takes longer; and below the way there nothing can be held."""
    slow = offer(where=machine("old.large", tier="amx", coremark=6_000.0))
    failed = one(slow, PlatformsConfig(slo="p99<20ms"))
    assert failed.failed is not None
    assert failed.failed.name == "latency"
    near = check_of(one(offer(), PlatformsConfig(slo="p99<0.5ms")), "latency")
    assert (near.outcome, near.why) == ("fail", "the way there alone takes 1 ms")


def test_the_budget_is_checked_by_bounds() -> None:
    """Within it, beyond it, or only if it carries more than the least that it may."""
    told = offer(where=machine("c8i.large", coremark=46_000.0))
    usd = one(told).usd
    assert usd is not None
    assert usd.low < usd.value
    outcomes = []
    for budget in (usd.value + 1, (usd.low + usd.value) / 2, usd.low - 1):
        found = one(told, requirements=Requirements(budget_usd_per_month=budget))
        outcomes.append(check_of(found, "budget").outcome)
    assert outcomes == ["pass", "unknown", "fail"]


def test_what_has_no_price_or_no_capacity_has_no_cost() -> None:
    """It is unknown, says what to bring, and is never chosen, confirmed or not."""
    no_price = Offer(service=service(), machine=machine())
    gpu = offer(where=machine("g6.xlarge", gpu="l4", gpu_count=1.0))
    for told, name, word in ((no_price, "price", "price file"), (gpu, "capacity", "probe")):
        found = one(told)
        check = check_of(found, name)
        assert (check.outcome, found.usd) == ("unknown", None)
        assert word in check.confirm
        config = PlatformsConfig(slo="p99<50ms", confirmed=(name,))
        assert cheapest(evaluate([told], config, REPLICA, DAY)) is None
    spot = one(offer(spot=0.1), requirements=Requirements(commitment="none"))
    assert check_of(spot, "price").outcome == "fail"


def test_a_charge_without_a_price_is_a_lower_bound_until_confirmed() -> None:
    """Storage whose price nobody knows is never 0."""
    told = offer(service(unpriced=("storage_gb",)))
    assert "lower bound" in check_of(one(told), "price").why
    config = PlatformsConfig(slo="p99<50ms")
    assert cheapest(evaluate([told], config, REPLICA, DAY)) is None
    sure = PlatformsConfig(slo="p99<50ms", confirmed=("aws-vm.price",))
    assert cheapest(evaluate([told], sure, REPLICA, DAY)) is not None


@pytest.mark.parametrize(("quota", "outcome"), [(None, "unknown"), (2.0, "fail")])
def test_a_quota_limits_how_many_stand(quota: float | None, outcome: str) -> None:
    """More than a service allows fails; a quota that nobody knows has to be confirmed."""
    assert check_of(one(offer(service({"most_replicas": quota}))), "replicas").outcome == outcome


def busy(kind: str, **facts: Any) -> Offer:
    """A service that is billed while it answers."""
    told = service(
        {"scale_to_zero": True, "cold_start_s": None} | facts, kind=kind, billed="busy",
        sized="shares", rates={"vcpu_s": (rate(2e-5),), "requests": (rate(2e-7),)},
    )  # fmt: skip
    return offer(told, machine("1vcpu-2gib", vcpu=1.0, memory_gib=2.0, coremark=22_000.0))


def test_a_function_is_billed_for_its_service() -> None:
    """Requests times service time, and by the request; nothing stands and nothing is spare."""
    found = one(busy("function"))
    requests = float(DAY.rates.mean()) * HOURS_PER_MONTH * 3600
    assert found.costs["requests"] == pytest.approx(requests * 2e-7)
    assert found.costs["redundancy"] == found.costs["idle"] == 0.0
    alone = requests * 8e-3 * 2e-5
    assert alone < found.costs["compute"] < 2.5 * alone
    assert found.machines is not None
    assert found.machines[0] == 0.0


def test_cold_starts_count_against_the_objective() -> None:
    """Steady traffic meets hardly any; a request every ten minutes meets one each time."""
    config = PlatformsConfig(slo="p99<50ms")
    steady = evaluate([busy("containers")], config, REPLICA, DAY)[0]
    assert check_of(steady, "cold_start").outcome == "pass"
    rare = trace(*[1 / 600] * 24)
    seldom = evaluate([busy("containers")], config, REPLICA, rare)[0]
    assert check_of(seldom, "cold_start").outcome == "fail"
    nobody = measured(rate=90.0, low=85.0, high=95.0, service_ms=8.0)
    unknown = evaluate([busy("containers")], config, nobody, rare)[0]
    assert check_of(unknown, "cold_start").outcome == "unknown"


def test_seldom_traffic_is_cheaper_where_nothing_stands() -> None:
    """Scaling to zero wins at a request a minute, machines do at 400 requests/s."""
    config = PlatformsConfig(slo="p99<9s", survive="none")
    offers = [busy("function"), offer(service(id="gcp-vm", provider="gcp"))]
    rare = cheapest(evaluate(offers, config, REPLICA, trace(*[1 / 60] * 24)))
    often = cheapest(evaluate(offers, config, REPLICA, trace(*[400.0] * 24)))
    assert rare is not None
    assert often is not None
    assert (rare.offer.service.kind, often.offer.service.kind) == ("function", "vm")


def test_without_a_service_time_other_machines_have_to_be_measured() -> None:
    """Rates are in proportion, and whether the objective holds there is unknown."""
    plain = measured(machine="aws/us-east-1/m7i.large")
    config = PlatformsConfig(slo="p99<50ms")
    told = offer(where=machine("c8i.large"))
    here, there = evaluate([offer(), told], config, plain, DAY)
    assert here.p99_ms is None
    assert not here.unknown
    assert check_of(there, "latency").outcome == "unknown"


def test_sources_are_those_of_its_numbers() -> None:
    """Of the price, of the sizes and of the rates, each once."""
    told = offer(service(rates={"egress_gb": (rate(0.1),)}))
    assert one(told).sources == ("list", "specs")


def test_an_objective_that_is_none_is_told() -> None:
    """Before anything is computed."""
    with pytest.raises(UsageError, match="no service-level objective"):
        evaluate([offer()], PlatformsConfig(slo="fast"), REPLICA, DAY)
