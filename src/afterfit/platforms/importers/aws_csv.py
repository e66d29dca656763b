"""The AWS Price List of EC2 as CSV: five lines about the file, then one price a row."""

from __future__ import annotations

from collections.abc import Mapping

from afterfit.platforms.importers import aws
from afterfit.platforms.importers.base import Gathering, Head, Imported, PriceFile
from afterfit.platforms.importers.stream import csv_rows

__all__ = ["Format"]

ATTRIBUTES = {
    "Instance Type": "instanceType", "vCPU": "vcpu", "Memory": "memory", "GPU": "gpu",
    "Location": "location", "Location Type": "locationType", "Region Code": "regionCode",
    "Tenancy": "tenancy", "Operating System": "operatingSystem",
    "Pre Installed S/W": "preInstalledSw", "CapacityStatus": "capacitystatus",
}  # fmt: skip
COLUMNS = {
    *ATTRIBUTES, "Product Family", "Currency", "PricePerUnit", "Unit", "TermType",
    "LeaseContractLength", "PurchaseOption", "OfferingClass",
}  # fmt: skip


class Format:
    """Rows by the header that begins with ``SKU``; read in constant memory."""

    title = "AWS Price List (CSV)"

    def sniff(self, head: Head) -> bool:
        """Return whether it begins as AWS's files do."""
        about = head.first_line.replace('"', "").startswith("FormatVersion,")
        return (about and "PricePerUnit" in head.text) or head.columns("SKU", "PricePerUnit")

    def read(self, file: PriceFile) -> Imported:
        """Return on demand prices and reservations without upfront payment, for Linux."""
        gathered = Gathering("aws-csv", file, self.title)
        gathered.seen(aws.publication(file))
        for row in csv_rows(file.path, "SKU", COLUMNS):
            _row(gathered, row)
        return gathered.done()


def _row(gathered: Gathering, row: Mapping[str, str]) -> None:
    if "" in row:
        return gathered.skip("a row with more or fewer cells than the header")
    attributes = {to: row[name] for name, to in ATTRIBUTES.items() if row.get(name)}
    if why := aws.unusable(row.get("Product Family", ""), attributes):
        return gathered.skip(why)
    region = aws.region_of(attributes)
    if not region:
        return gathered.skip(f"the location {attributes.get('location', '')!r} is not known")
    if row.get("Currency", "USD") != "USD":
        return gathered.skip("a currency other than USD")
    if gathered.wanted(region):
        gathered.machine(aws.machine_of(attributes, region))
        _price(gathered, (aws.PROVIDER, region, attributes["instanceType"]), row)
    return None


def _price(gathered: Gathering, key: aws.Key, row: Mapping[str, str]) -> None:
    price, unit = row.get("PricePerUnit"), row.get("Unit", "")
    if row.get("TermType") == "Reserved":
        terms = {name: row.get(name, "") for name in ("LeaseContractLength", "PurchaseOption")}
        terms["OfferingClass"] = row.get("OfferingClass") or "standard"
        aws.reserved(gathered, key, terms, price, unit)
    elif unit not in ("Hrs", "Hours"):
        gathered.skip(f"a price per {unit or 'nothing'}, not per hour")
    else:
        gathered.price(key, "on_demand", price)
