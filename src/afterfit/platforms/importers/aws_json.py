"""The AWS Price Lists of EC2 and SageMaker as JSON, read member by member: the file has gigabytes.

What stays in memory are the machines of the regions asked for and one product or term at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afterfit.platforms.importers import aws
from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile
from afterfit.platforms.importers.stream import json_members

__all__ = ["Format"]

ENTER = ((), ("products",), ("terms",), ("terms", "OnDemand"), ("terms", "Reserved"))


class Format:
    """``{products: {SKU: …}, terms: {OnDemand | Reserved: {SKU: {CODE: …}}}}``."""

    title = "AWS Price List (JSON)"

    def sniff(self, head: Head) -> bool:
        """Return whether it is a price list with products by SKU."""
        text = head.text
        named = '"offerCode"' in text or '"formatVersion"' in text
        plans = "SavingsPlans" in text
        return text.lstrip().startswith("{") and named and '"products"' in text and not plans

    def read(self, file: PriceFile) -> Imported:
        """Return on demand prices and reservations without upfront payment, for Linux."""
        gathered = Gathering("aws", file, self.title)
        keys: dict[str, aws.Key] = {}
        for path, value in json_members(file.path, ENTER):
            if path == ("publicationDate",):
                gathered.seen(value)
            elif path[:1] == ("products",) and len(path) == 2:
                _product(gathered, keys, path[1], value)
            elif path[:1] == ("terms",) and len(path) == 3 and path[2] in keys:
                _terms(gathered, keys[path[2]], value, reserved=path[1] == "Reserved")
        return gathered.done()


def _product(gathered: Gathering, keys: dict[str, aws.Key], sku: str, product: Any) -> None:
    if not isinstance(product, dict) or not isinstance(product.get("attributes"), dict):
        return gathered.skip("a product without attributes")
    attributes = {str(k): str(v) for k, v in product["attributes"].items()}
    family = str(product.get("productFamily", ""))
    endpoint = aws.endpoint_name(family, attributes)
    if not endpoint and (why := aws.unusable(family, attributes)):
        return gathered.skip(why)
    region = aws.region_of(attributes)
    if not region:
        return gathered.skip(f"the location {attributes.get('location', '')!r} is not known")
    if gathered.wanted(region):
        keys[sku] = (aws.PROVIDER, region, endpoint or attributes["instanceType"])
        if not endpoint:
            gathered.machine(aws.machine_of(attributes, region))
    return None


def _terms(gathered: Gathering, key: aws.Key, offers: Any, *, reserved: bool) -> None:
    for offer in _objects(offers):
        terms = {str(k): str(v) for k, v in (offer.get("termAttributes") or {}).items()}
        for dimension in _objects(offer.get("priceDimensions")):
            unit = str(dimension.get("unit", ""))
            price = dimension.get("pricePerUnit")
            if not isinstance(price, dict) or "USD" not in price:
                gathered.skip("a currency other than USD")
            elif reserved:
                aws.reserved(gathered, key, terms, price["USD"], unit)
            elif unit not in ("Hrs", "Hours"):
                gathered.skip(f"a price per {unit or 'nothing'}, not per hour")
            else:
                gathered.price(key, "on_demand", price["USD"])


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that are the values of an object; anything else holds none."""
    if isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, dict))
