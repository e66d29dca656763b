"""The AWS price lists of Savings Plans: rates of machines by plan.

Of the JSON one plan is in memory at a time, of the CSV one rate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from afterfit.platforms.importers import aws
from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile
from afterfit.platforms.importers.stream import EACH, csv_rows, json_members
from afterfit.platforms.shapes import Term

__all__ = ["Csv", "Format"]

ENTER = ((), ("products",), ("terms",), ("terms", "savingsPlan"))
EC2, LINUX = "AmazonEC2", "RunInstances"
INSTANCE = "EC2InstanceSavingsPlans"
_TERMS: dict[int, Term] = {1: "savings_1y", 3: "savings_3y"}
COLUMNS = {
    "DiscountedServiceCode": "discountedServiceCode", "DiscountedUsageType": "discountedUsageType",
    "DiscountedOperation": "discountedOperation", "DiscountedRegionCode": "discountedRegionCode",
    "DiscountedInstanceType": "discountedInstanceType", "Unit": "unit",
}  # fmt: skip
"""Column of the CSV -> field of the JSON."""
KEPT = {
    *COLUMNS, "DiscountedRate", "Currency", "PurchaseOption", "LeaseContractLength",
    "LeaseContractLengthUnit", "Product Family",
}  # fmt: skip
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
Rates = dict[tuple[aws.Key, Term], Any]


class Format:
    """``{products: [{sku, attributes}], terms: {savingsPlan: [{sku, rates: [...]}]}}``."""

    title = "AWS Savings Plans (JSON)"

    def sniff(self, head: Head) -> bool:
        """Return whether it is a price list of Savings Plans."""
        plans = "SavingsPlan" in head.text or '"discountedSku"' in head.text
        return (
            head.text.lstrip().startswith("{")
            and plans
            and '"offerCode": "AmazonEC2"' not in (head.text)
        )

    def read(self, file: PriceFile) -> Imported:
        """Return rates without upfront payment; a Compute plan wins over one of one family."""
        gathered = Gathering("aws-savings", file, self.title)
        plans: dict[str, tuple[str, str]] = {}
        compute: Rates = {}
        instance: Rates = {}
        for path, value in json_members(file.path, ENTER):
            if path == ("publicationDate",):
                gathered.seen(value)
            elif path == ("products", EACH) and isinstance(value, dict):
                told = value.get("attributes") or {}
                option = str(told.get("purchaseOption", ""))
                plans[str(value.get("sku"))] = (str(value.get("productFamily", "")), option)
            elif path == ("terms", "savingsPlan", EACH) and isinstance(value, dict):
                family, option = plans.get(str(value.get("sku")), ("", ""))
                told = value.get("leaseContractLength") or {}
                length = f"{told.get('duration')} {told.get('unit')}"
                into = instance if family == INSTANCE else compute
                _plan(gathered, value, option, into, length)
        _keep(gathered, compute, instance)
        return gathered.done()


class Csv:
    """The same as CSV: lines about the file, the header, a rate a row."""

    title = "AWS Savings Plans (CSV)"

    def sniff(self, head: Head) -> bool:
        """Return whether its columns are there, below the lines about it."""
        first = head.first_line.replace('"', "").startswith("FormatVersion,")
        return first and "DiscountedRate" in head.text

    def read(self, file: PriceFile) -> Imported:
        """Return rates without upfront payment; a Compute plan wins over one of one family."""
        gathered = Gathering("aws-savings-csv", file, self.title)
        gathered.seen(aws.publication(file))
        compute: Rates = {}
        instance: Rates = {}
        for row in csv_rows(file.path, "SKU", KEPT):
            if "" in row:
                gathered.skip("a row with more or fewer cells than the header")
                continue
            rate = {to: row[name] for name, to in COLUMNS.items() if row.get(name)}
            price = {"price": row.get("DiscountedRate"), "currency": row.get("Currency")}
            length = f"{row.get('LeaseContractLength')} {row.get('LeaseContractLengthUnit')}"
            plan = {"rates": [{**rate, "discountedRate": price}]}
            into = instance if row.get("Product Family") == INSTANCE else compute
            _plan(gathered, plan, row.get("PurchaseOption", ""), into, length)
        _keep(gathered, compute, instance)
        return gathered.done()


def _keep(gathered: Gathering, compute: Rates, instance: Rates) -> None:
    for (key, term), price in compute.items():
        gathered.price(key, term, price)
    for (key, term), price in instance.items():
        if (key, term) in compute:
            gathered.skip("a plan of one family, where a Compute plan has a rate too")
        else:
            gathered.price(key, term, price)


def _plan(
    gathered: Gathering, plan: Mapping[str, Any], option: str, into: Rates, length: str
) -> None:
    rates = plan.get("rates")
    rates = rates if isinstance(rates, list) else []
    term = _TERMS.get(aws.years(length))
    if term is None:
        return gathered.skip("a plan of another length than 1 or 3 years", len(rates))
    if option not in ("", "No Upfront"):
        return gathered.skip("a plan that is paid upfront, wholly or in part", len(rates))
    for rate in rates:
        _rate(gathered, rate, term, into)
    return None


def _rate(gathered: Gathering, rate: Any, term: Term, into: Rates) -> None:
    if not isinstance(rate, dict) or not isinstance(rate.get("discountedRate"), dict):
        return gathered.skip("a rate without a price")
    usage = str(rate.get("discountedUsageType", ""))
    name = str(rate.get("discountedInstanceType") or usage.partition(":")[2])
    region = str(rate.get("discountedRegionCode", ""))
    why = _unusable(rate, usage, name, region)
    if why:
        return gathered.skip(why)
    if gathered.wanted(region):
        into[(aws.PROVIDER, region, name), term] = rate["discountedRate"].get("price")
    return None


def _unusable(rate: Mapping[str, Any], usage: str, name: str, region: str) -> str:
    """Return why a rate is no plain Linux machine by the hour; empty for one that is."""
    reasons = {
        "a rate of another service than EC2": rate.get("discountedServiceCode", EC2) != EC2,
        "an operating system other than Linux": rate.get("discountedOperation", LINUX) != LINUX,
        "a tenancy other than shared": bool(usage) and "BoxUsage" not in usage,
        "a price that is not per hour": rate.get("unit", "Hrs") not in ("Hrs", "Hours"),
        "a currency other than USD": rate["discountedRate"].get("currency", "USD") != "USD",
        "a rate that does not say of which machine and region it is": not name or not region,
        "a local or wavelength zone": not _REGION.fullmatch(region),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
