"""Google's Cloud Billing catalog: prices per core, per GiB and per GPU, composed into machines.

A machine costs its vCPUs times the price of a core of its family, and so on; the sizes are those of
the machines that are known already. What has a price of its own beside these (local disks, shared
cores) is not composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile
from afterfit.platforms.importers.stream import EACH, json_members
from afterfit.platforms.shapes import Machine, Term

__all__ = ["Format"]

PROVIDER = "gcp"
ENTER = ((), ("skus",), (EACH,), (EACH, "skus"))
NANOS = 1e-9
TERMS: dict[str, Term] = {
    "OnDemand": "on_demand", "Preemptible": "spot",
    "Commit1Yr": "reserved_1y", "Commit3Yr": "reserved_3y",
}  # fmt: skip
_USAGE = r"^(?:(?:Spot )?Preemptible |Commitment(?: v1)?: )?"
_PART = re.compile(
    _USAGE + r"(?P<family>[A-Z]\d[A-Z]?)(?: Predefined| AMD| Arm)?(?: Instance)? "
    r"(?P<part>Core|Cpu|Ram)\b"
)
_GPU = re.compile(
    _USAGE + r"(?:Nvidia|NVIDIA) (?:Tesla )?(?P<name>[A-Z]+\d+\w*)(?P<memory> 80GB)? GPU\b"
)
_NAMED = {"Compute optimized": "c2"}
"""Families whose SKUs have words in place of their name."""
_LOCAL_DISKS = re.compile(r"-lssd$|^(a2-ultragpu|a3|z3|g4)-")

Part = Literal["core", "ram", "gpu"]


class Key(NamedTuple):
    """One price: of a part of a family (or of a GPU) in a region, on a term."""

    region: str
    family: str
    part: Part
    term: Term


class Format:
    """``{skus: [{description, category, serviceRegions, pricingInfo}]}``, or a list of pages."""

    title = "Google Cloud Billing catalog (JSON)"

    def sniff(self, head: Head) -> bool:
        """Return whether it has SKUs with regions."""
        return head.text.lstrip()[:1] in {"{", "["} and '"serviceRegions"' in head.text

    def read(self, file: PriceFile) -> Imported:
        """Return the prices of known machines; raises InputError where none is known."""
        gathered = Gathering("gcp", file, self.title)
        prices: dict[Key, float] = {}
        more = False
        for path, value in json_members(file.path, ENTER):
            if path[-1:] == ("nextPageToken",):
                more = bool(value)
            elif path[-2:] == ("skus", EACH):
                _sku(gathered, prices, value)
        known = _shapes(file)
        if not known:
            gathered.skip("no machine of Google is known whose cores and memory could be counted")
        for machine in known:
            _compose(gathered, prices, machine)
        if more:
            gathered.notes.append(
                f"{file.path.name} says that pages follow: a machine is composed of prices in one "
                "file, so join the pages: jq -s . page*.json > all.json"
            )
        return gathered.done()


def _shapes(file: PriceFile) -> list[Machine]:
    """Return one machine for each name: sizes are those of every region."""
    found = {each.name: each for each in file.known if each.provider == PROVIDER}
    return [found[name] for name in sorted(found)]


def _sku(gathered: Gathering, prices: dict[Key, float], sku: Any) -> None:
    if not isinstance(sku, dict):
        return gathered.skip("a SKU that is no object")
    category = sku.get("category")
    category = category if isinstance(category, dict) else {}
    term = TERMS.get(str(category.get("usageType")))
    part = _part_of(str(sku.get("description", "")))
    if category.get("resourceFamily") != "Compute" or part is None:
        return gathered.skip("no core, memory or GPU of a family that is known by name")
    if term is None:
        return gathered.skip(f"the usage {category.get('usageType')!r}")
    price = _unit_price(gathered, sku)
    if price is None:
        return None
    regions = sku.get("serviceRegions")
    for region in regions if isinstance(regions, list) else []:
        if gathered.wanted(str(region)):
            key = Key(str(region), *part, term)
            prices[key] = max(price, prices.get(key, 0.0))
    return None


def _part_of(description: str) -> tuple[str, Part] | None:
    """Return (family or GPU, part) of a SKU's description; None for what is no plain one.

    Custom shapes, sole tenancy, extended memory and the like have prices of their own.
    """
    for words, family in _NAMED.items():
        description = description.replace(f"{words} ", f"{family.upper()} ")
    if re.search(
        r"Custom|Sole Tenancy|Extended|Premium|Reserved|DWS|Calendar|Upgrade", description
    ):
        return None
    if gpu := _GPU.match(description):
        return (gpu["name"] + ("-80GB" if gpu["memory"] else "")).upper(), "gpu"
    if part := _PART.match(description):
        return part["family"].lower(), "ram" if part["part"] == "Ram" else "core"
    return None


def _unit_price(gathered: Gathering, sku: Mapping[str, Any]) -> float | None:
    """Return USD per hour of one core, GiB or GPU, or None after counting why there is none."""
    try:
        info = sku["pricingInfo"][-1]
        expression = info["pricingExpression"]
        rates = [rate for rate in expression["tieredRates"] if not rate.get("startUsageAmount")]
        money = rates[0]["unitPrice"]
        usd = int(money.get("units") or 0) + NANOS * int(money.get("nanos") or 0)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        gathered.skip("a SKU without a price")
        return None
    if money.get("currencyCode", "USD") != "USD":
        gathered.skip("a currency other than USD")
    elif expression.get("usageUnit", "h") not in ("h", "GiBy.h"):
        gathered.skip(f"a price per {expression.get('usageUnit')}, not per hour")
    elif usd <= 0:
        gathered.skip("the price is zero or negative")
    else:
        gathered.seen(info.get("effectiveTime"))
        return usd
    return None


def _compose(gathered: Gathering, prices: Mapping[Key, float], machine: Machine) -> None:
    if machine.shared or _LOCAL_DISKS.search(machine.name):
        return gathered.skip("a machine with shared cores or local disks, which cost otherwise")
    family = machine.name.partition("-")[0]
    places = {(key.region, key.term) for key in prices if key.family == family}
    if not places:
        return gathered.skip("a machine of a family that the file has no price of")
    for region, term in sorted(places):
        total = _total(prices, machine, family, region, term)
        if total is None:
            gathered.skip("a machine that one part's price is missing of")
        else:
            gathered.price((PROVIDER, region, machine.name), term, total)
    return None


def _total(
    prices: Mapping[Key, float], machine: Machine, family: str, region: str, term: Term
) -> float | None:
    total = 0.0
    for name, part, amount in _parts(machine, family):
        price = prices.get(Key(region, name, part, term))
        if price is None or amount is None:
            return None
        total += amount * price
    return total


def _parts(machine: Machine, family: str) -> Iterator[tuple[str, Part, float | None]]:
    yield family, "core", machine.vcpu
    yield family, "ram", machine.memory_gib
    if machine.gpu_count:
        name = machine.gpu.upper().removeprefix("NVIDIA ").removeprefix("TESLA ").replace(" ", "-")
        yield name, "gpu", machine.gpu_count
