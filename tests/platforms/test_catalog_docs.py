"""The page on the catalog says what the catalog holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from afterfit.platforms.catalog import builtin
from afterfit.platforms.shipped import read


def services_table() -> str:
    """Services with how they are bought and how many of their offers have a price."""
    offers = Counter(offer.service.id for offer in builtin().offers())
    priced = Counter(offer.service.id for offer in builtin().offers() if offer.prices)
    lines = ["| id | service | kind | bought as | offers | priced |", "|---|---|---|---|---|---|"]
    for service in builtin().services:
        status = "" if service.status == "open" else f" ({service.status})"
        lines.append(
            f"| `{service.id}` | {service.title}{status} | {service.kind} "
            f"| {service.sized}, by {service.billed} "
            f"| {offers[service.id]} | {priced[service.id]} |"
        )
    return "\n".join(lines)


def regions_table() -> str:
    """Machines by region, with the terms that they have prices on."""
    lines = ["| provider | region | machines | with GPU | terms |", "|---|---|---|---|---|"]
    for provider, region in sorted({(each.provider, each.region) for each in builtin().machines}):
        here = [e for e in builtin().machines if (e.provider, e.region) == (provider, region)]
        terms = Counter(term for each in here for term in each.prices)
        told = ", ".join(f"{term} {count}" for term, count in sorted(terms.items())) or "none"
        gpus = sum(bool(each.gpu) for each in here)
        lines.append(f"| {provider} | {region} | {len(here)} | {gpus} | {told} |")
    return "\n".join(lines)


def sources_table() -> str:
    """The sources of prices and rates."""
    used = {price.source for each in builtin().machines for price in each.prices.values()}
    used |= {
        rate.source
        for each in builtin().services
        for rates in each.rates.values()
        for rate in rates
    }
    used |= {each.premium_source for each in builtin().services if each.premium}
    lines = ["| source | date | licence | confidence |", "|---|---|---|---|"]
    for name in sorted(used):
        told = builtin().sources[name]
        lines.append(
            f"| [`{name}`]({told.link}) | {told.date or 'unknown'} | {told.licence or 'facts'} "
            f"| {told.confidence} |"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("table", [services_table, regions_table, sources_table])
def test_the_page_has_the_table_of_what_ships(table: object, project_root: Path) -> None:
    """A change of the catalog that the page does not tell fails with the table to put there."""
    assert callable(table)
    page = (project_root / "docs" / "reference" / "catalog.md").read_text("utf-8")
    assert table() in page, f"docs/reference/catalog.md should have:\n\n{table()}\n"


def test_the_notice_names_the_works_that_ask_for_one() -> None:
    """Every source under MIT or Apache is named in the notice that ships beside the data."""
    notice = read("NOTICE.txt")
    asking = [
        e for e in builtin().sources.values() if e.licence in {"MIT", "Apache-2.0"} and e.link
    ]
    assert len(asking) >= 6
    for source in asking:
        assert source.link in notice, source.link
    assert "Copyright (c) 2013 Garret Heaton" in notice
