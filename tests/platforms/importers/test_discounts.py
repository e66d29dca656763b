"""Own discounts on prices: one line counts for one price."""

from __future__ import annotations

from typing import Any

import pytest
from tests.platforms.importers.lists import machine

from afterfit.platforms.importers import Discount
from afterfit.platforms.importers.discounts import Discounted, discounted
from afterfit.platforms.shapes import Price, Source

KNOWN = {"list": Source(text="the list", date="2026-07-20"), "own": Source(text="my sheet")}


def line(**told: Any) -> Discount:
    """A line of a sheet."""
    return Discount(source="own", **told)


def after(*lines: Discount, today: str = "2026-11-27") -> Discounted:
    """A machine with two prices after discounts."""
    prices = {"on_demand": 0.1, "spot": 0.04}
    told = {term: Price(usd_per_hour=usd, source="list") for term, usd in prices.items()}
    return discounted([machine(prices=told)], lines, today, KNOWN)


def usd(found: Discounted) -> dict[str, float]:
    """USD per hour by term."""
    return {term: price.usd_per_hour for term, price in found.machines[0].prices.items()}


def test_the_line_that_says_most_counts_alone() -> None:
    """Discounts do not add up: 12 % on a family and 5 % on everything are 12 % on the family."""
    found = after(line(machine="m7i", percent=12.0), line(percent=5.0))
    assert usd(found) == {"on_demand": pytest.approx(0.088), "spot": pytest.approx(0.0352)}
    assert found.changed == 2


def test_a_price_is_on_demand_unless_it_says_otherwise() -> None:
    """It leaves Spot alone, wins over any share, and may be of a term that no list has."""
    found = after(
        line(provider="aws", region="us-*", machine="m7i.large", term="on_demand", percent=50.0),
        line(machine="m7i.*", usd_per_hour=0.07),
        line(machine="m7i.*", usd_per_hour=0.05, term="reserved_1y"),
    )
    assert usd(found) == {"on_demand": 0.07, "spot": 0.04, "reserved_1y": 0.05}


def test_a_discounted_price_tells_of_its_list_and_of_the_sheet() -> None:
    """With the date of the list, which is what goes stale."""
    found = after(line(term="spot", percent=10.0))
    source = found.sources[found.machines[0].prices["spot"].source]
    assert source.text == "the list; less the discount of my sheet"
    assert source.date == "2026-07-20"


def test_what_has_run_out_or_fits_nothing_is_told() -> None:
    """A discount that silently did nothing would be believed."""
    found = after(line(percent=5.0, until="2026-11-26"), line(provider="gcp", percent=3.0))
    assert usd(found) == {"on_demand": 0.1, "spot": 0.04}
    assert found.warnings == (
        "1 of 2 own discounts have run out",
        "no price has the own discount of gcp",
    )
    assert usd(after(line(percent=5.0, until="2026-11-27")))["on_demand"] == pytest.approx(0.095)
