"""Azure's retail prices: pages, reservations for a term, Windows and Spot in names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.platforms.importers.lists import prices, read

if TYPE_CHECKING:
    from pathlib import Path

NAME = "eastus/Standard_D2s_v5"


def item(usd: Any = 0.096, **told: Any) -> Any:
    """An item of a page."""
    return {
        "currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": usd, "unitPrice": usd,
        "armRegionName": "eastus", "location": "US East",
        "effectiveStartDate": "2026-05-01T00:00:00Z", "meterName": "D2s v5", "skuName": "D2s v5",
        "productName": "Virtual Machines Dsv5 Series", "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour", "type": "Consumption", "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_D2s_v5", **told,
    }  # fmt: skip


def page(*items: Any, after: str | None = None) -> Any:
    """A page of the API."""
    return {"BillingCurrency": "USD", "Items": list(items), "NextPageLink": after, "Count": 1}


def test_terms_are_told_by_type_and_by_words_in_names(tmp_path: Path) -> None:
    """On demand, Spot, plans; a reservation's price is that of its whole term."""
    found = read(
        tmp_path,
        page(
            item(savingsPlan=[{"term": "1 Year", "retailPrice": 0.066}]),
            item(0.0193, skuName="D2s v5 Spot", meterName="D2s v5 Spot"),
            item(0.0192, skuName="D2s v5 Low Priority"),
            item(8760 * 0.06, type="Reservation", reservationTerm="1 Year"),
            item(3 * 8760 * 0.04, type="Reservation", reservationTerm="3 Years"),
            item(99.0, type="Reservation", reservationTerm="5 Years"),
        ),
    )
    assert found.format == "azure"
    assert prices(found) == {
        (NAME, "on_demand"): 0.096,
        (NAME, "spot"): 0.0193,
        (NAME, "reserved_1y"): pytest.approx(0.06),
        (NAME, "reserved_3y"): pytest.approx(0.04),
        (NAME, "savings_1y"): 0.066,
    }
    assert found.skipped == {
        "a reservation of another length than 1 or 3 years": 1,
        "low priority, which Spot has replaced": 1,
    }
    assert [source.date for source in found.sources.values()] == ["2026-05-01"]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"productName": "Virtual Machines Dsv5 Series Windows"}, "Windows"),
        ({"serviceName": "Storage"}, "another service than Virtual Machines"),
        ({"currencyCode": "EUR"}, "a currency other than USD"),
        ({"isPrimaryMeterRegion": False}, "a meter that is not the region's first"),
        ({"type": "DevTestConsumption"}, "another type than consumption or reservation"),
        ({"unitOfMeasure": "1/Month"}, "a price that is not per hour"),
        ({"armRegionName": ""}, "the region or the machine's name is missing"),
        ({"retailPrice": 0.0}, "the price is zero or negative"),
        ({"retailPrice": None}, "the price is missing or no number"),
        ({"tierMinimumUnits": 100.0}, "a price for much use only"),
    ],
)
def test_what_is_no_price_of_a_linux_machine_is_counted(
    tmp_path: Path, told: Any, reason: str
) -> None:
    """Each row that is left out has its reason."""
    found = read(tmp_path, page(item(), item(0.2, **{"retailPrice": 0.2, **told})))
    assert prices(found) == {(NAME, "on_demand"): 0.096}
    assert found.skipped == {reason: 1}


def test_pages_may_be_joined_and_a_missing_one_is_told(tmp_path: Path) -> None:
    """A list of pages, a list of items, and a page that is not the last."""
    other = item(0.192, armSkuName="Standard_D4s_v5")
    both = {(NAME, "on_demand"): 0.096, ("eastus/Standard_D4s_v5", "on_demand"): 0.192}
    pages = read(tmp_path, [page(item(), after="https://next"), page(other)])
    items = read(tmp_path, [item(), other])
    assert prices(pages) == prices(items) == both
    assert pages.notes == ()
    assert "not the last page" in read(tmp_path, page(item(), after="https://next")).notes[0]
