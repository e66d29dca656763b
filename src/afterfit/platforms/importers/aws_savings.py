"""The AWS price list of Savings Plans: rates of machines by plan, one plan in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterfit.platforms.importers import aws
from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile
from afterfit.platforms.importers.stream import EACH, json_members
from afterfit.platforms.shapes import Term

__all__ = ["Format"]

ENTER = ((), ("products",), ("terms",), ("terms", "savingsPlan"))
EC2, LINUX = "AmazonEC2", "RunInstances"
INSTANCE = "EC2InstanceSavingsPlans"
_TERMS: dict[int, Term] = {1: "savings_1y", 3: "savings_3y"}
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
                _plan(gathered, value, option, instance if family == INSTANCE else compute)
        for key, price in compute.items():
            gathered.price(key[0], key[1], price)
        for key, price in instance.items():
            if key in compute:
                gathered.skip("a plan of one family, where a Compute plan has a rate too")
            else:
                gathered.price(key[0], key[1], price)
        return gathered.done()


def _plan(gathered: Gathering, plan: Mapping[str, Any], option: str, into: Rates) -> None:
    rates = plan.get("rates")
    rates = rates if isinstance(rates, list) else []
    length = plan.get("leaseContractLength") or {}
    term = _TERMS.get(aws.years(f"{length.get('duration')} {length.get('unit')}"))
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
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
