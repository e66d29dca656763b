"""Azure's Retail Prices: pages of the API, one file or several, or pages joined in a list.

A reservation's price is that of its whole term, so it is divided by its hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afterfit.platforms.importers.aws import HOURS_PER_YEAR, years
from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile, number_of
from afterfit.platforms.importers.stream import EACH, HEAD, json_members, opened_text
from afterfit.platforms.shapes import Term

__all__ = ["Format"]

PROVIDER = "azure"
PAGE = ((), ("Items",))
PAGES = ((), (EACH,), (EACH, "Items"))
ITEMS = ((),)
RESERVED: dict[int, Term] = {1: "reserved_1y", 3: "reserved_3y"}
SAVINGS: dict[int, Term] = {1: "savings_1y", 3: "savings_3y"}


class Format:
    """``{Items: [...], NextPageLink}``, a list of such pages, or a list of their items."""

    title = "Azure Retail Prices (JSON)"

    def sniff(self, head: Head) -> bool:
        """Return whether it has the fields of a page."""
        return head.text.lstrip()[:1] in {"{", "["} and (
            '"armRegionName"' in head.text or '"BillingCurrency"' in head.text
        )

    def read(self, file: PriceFile) -> Imported:
        """Return on demand, spot, reserved and savings plan prices of Linux machines."""
        gathered = Gathering("azure", file, self.title)
        pages, last = 0, False
        for path, value in json_members(file.path, _layout(file)):
            if path[-1:] == ("NextPageLink",):
                pages, last = pages + 1, last or not value
            elif path[-1:] == (EACH,):
                _item(gathered, value)
        if pages and not last:
            gathered.notes.append(
                f"{file.path.name} is not the last page: import the pages that follow too"
            )
        return gathered.done()


def _layout(file: PriceFile) -> tuple[tuple[str, ...], ...]:
    with opened_text(file.path) as stream:
        head = stream.read(HEAD)
    if head.lstrip().startswith("{"):
        return PAGE
    return PAGES if '"Items"' in head else ITEMS


def _item(gathered: Gathering, item: Any) -> None:
    if not isinstance(item, dict):
        return gathered.skip("a row that is no object")
    if why := _unusable(item):
        return gathered.skip(why)
    region, name = str(item.get("armRegionName", "")), str(item.get("armSkuName", ""))
    if not region or not name:
        return gathered.skip("the region or the machine's name is missing")
    if not gathered.wanted(region):
        return None
    gathered.seen(item.get("effectiveStartDate"))
    key = (PROVIDER, region, name)
    for term, price in _prices(gathered, item):
        gathered.price(key, term, price)
    return None


def _unusable(item: Mapping[str, Any]) -> str:
    """Return why a row is no price of a Linux machine by the hour; empty for one that is."""
    product, names = str(item.get("productName", "")), f"{item.get('skuName')} "
    names += str(item.get("meterName", ""))
    reasons = {
        "another service than Virtual Machines": item.get("serviceName") != "Virtual Machines",
        "a currency other than USD": item.get("currencyCode", "USD") != "USD",
        "Windows": "Windows" in product,
        "a cloud service or dedicated host": "Cloud Services" in product or "Host" in product,
        "low priority, which Spot has replaced": "Low Priority" in names,
        "a meter that is not the region's first": item.get("isPrimaryMeterRegion") is False,
        "a price for much use only": bool(item.get("tierMinimumUnits")),
        "another type than consumption or reservation": item.get("type")
        not in ("Consumption", "Reservation"),
        "a price that is not per hour": item.get("unitOfMeasure") != "1 Hour",
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _prices(gathered: Gathering, item: Mapping[str, Any]) -> Iterator[tuple[Term, object]]:
    price = item.get("retailPrice", item.get("unitPrice"))
    if item["type"] == "Reservation":
        length = years(str(item.get("reservationTerm", "")))
        if length in RESERVED:
            yield RESERVED[length], _per_hour(price, length)
        else:
            gathered.skip("a reservation of another length than 1 or 3 years")
        return
    spot = "Spot" in f"{item.get('skuName')} {item.get('meterName')}"
    yield ("spot" if spot else "on_demand"), price
    plans = item.get("savingsPlan")
    for plan in plans if isinstance(plans, list) else []:
        length = years(str(plan.get("term", ""))) if isinstance(plan, dict) else 0
        if length in SAVINGS and not spot:
            yield SAVINGS[length], plan.get("retailPrice", plan.get("unitPrice"))


def _per_hour(price: object, length: int) -> object:
    whole = number_of(price)
    return price if whole is None else whole / (length * HOURS_PER_YEAR)
