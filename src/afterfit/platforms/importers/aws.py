"""What the price files of AWS share: which rows are machines, and what their words mean.

Source: the bulk files of the AWS Price List, ``AmazonEC2`` (JSON and CSV), by their field names.
"""

from __future__ import annotations

from collections.abc import Mapping

from afterfit.platforms.families import arch_of, shared, tier_of
from afterfit.platforms.importers.base import Gathering, PriceFile, number_of
from afterfit.platforms.importers.stream import opened_text
from afterfit.platforms.shapes import Machine, Term

__all__ = [
    "PROVIDER",
    "Key",
    "endpoint_name",
    "machine_of",
    "region_of",
    "reserved",
    "unusable",
    "years",
]

PROVIDER = "aws"
HOURS_PER_YEAR = 8760.0
LINES_ABOUT = 8
Key = tuple[str, str, str]

LOCATIONS = {
    "US East (N. Virginia)": "us-east-1",
    "US East (Ohio)": "us-east-2",
    "US West (N. California)": "us-west-1",
    "US West (Oregon)": "us-west-2",
    "Africa (Cape Town)": "af-south-1",
    "Asia Pacific (Hong Kong)": "ap-east-1",
    "Asia Pacific (Hyderabad)": "ap-south-2",
    "Asia Pacific (Jakarta)": "ap-southeast-3",
    "Asia Pacific (Melbourne)": "ap-southeast-4",
    "Asia Pacific (Mumbai)": "ap-south-1",
    "Asia Pacific (Osaka)": "ap-northeast-3",
    "Asia Pacific (Seoul)": "ap-northeast-2",
    "Asia Pacific (Singapore)": "ap-southeast-1",
    "Asia Pacific (Sydney)": "ap-southeast-2",
    "Asia Pacific (Tokyo)": "ap-northeast-1",
    "Canada (Central)": "ca-central-1",
    "Canada West (Calgary)": "ca-west-1",
    "EU (Frankfurt)": "eu-central-1",
    "EU (Ireland)": "eu-west-1",
    "EU (London)": "eu-west-2",
    "EU (Milan)": "eu-south-1",
    "EU (Paris)": "eu-west-3",
    "EU (Stockholm)": "eu-north-1",
    "Europe (Spain)": "eu-south-2",
    "Europe (Zurich)": "eu-central-2",
    "Israel (Tel Aviv)": "il-central-1",
    "Middle East (Bahrain)": "me-south-1",
    "Middle East (UAE)": "me-central-1",
    "South America (Sao Paulo)": "sa-east-1",
}
"""Display name -> region, for files without ``regionCode``."""

_EXPECTED = (
    ("tenancy", "Shared", "a tenancy other than shared"),
    ("operatingSystem", "Linux", "an operating system other than Linux"),
    ("preInstalledSw", "NA", "software comes with it"),
    ("capacitystatus", "Used", "a capacity reservation, not a machine in use"),
)
_TERMS: dict[int, Term] = {1: "reserved_1y", 3: "reserved_3y"}


def publication(file: PriceFile) -> str:
    """Return the date in the lines before the header."""
    with opened_text(file.path) as stream:
        for _, line in zip(range(LINES_ABOUT), stream, strict=False):
            name, _, value = line.replace('"', "").partition(",")
            if name == "Publication Date":
                return value.strip()
    return ""


def endpoint_name(family: str, attributes: Mapping[str, str]) -> str:
    """Return the name of a machine of SageMaker's endpoints (``ml.m7i.large``), else nothing."""
    name, _, component = attributes.get("instanceType", "").partition("-Hosting")
    hosting = attributes.get("component") == "Hosting" or "-Hosting" in attributes.get(
        "instanceType", ""
    )
    machine = name.startswith("ml.") and not component and family.startswith("ML Instance")
    return name if machine and hosting else ""


def unusable(family: str, attributes: Mapping[str, str]) -> str:
    """Return why a product is no plain Linux machine; empty for one that is."""
    if family.startswith("ML Instance"):
        return "a machine of SageMaker for another use than endpoints"
    if not family.startswith("Compute Instance") or not attributes.get("instanceType"):
        return "no machine (storage, traffic, licences and so on)"
    for name, value, reason in _EXPECTED:
        if attributes.get(name, value) != value:
            return reason
    if attributes.get("locationType", "AWS Region") != "AWS Region":
        return "a local or wavelength zone"
    return ""


def region_of(attributes: Mapping[str, str]) -> str:
    """Return the region's name for programs; empty where its display name is not known."""
    return attributes.get("regionCode") or LOCATIONS.get(attributes.get("location", ""), "")


def machine_of(attributes: Mapping[str, str], region: str) -> Machine:
    """Return the machine that a product's attributes describe; its prices come later."""
    name = attributes["instanceType"]
    arch = arch_of(PROVIDER, name)
    gpus = number_of(attributes.get("gpu"))
    return Machine(
        provider=PROVIDER,
        region=region,
        name=name,
        arch=arch,
        tier=tier_of(PROVIDER, name, arch),
        shared=shared(PROVIDER, name),
        vcpu=number_of(attributes.get("vcpu")),
        memory_gib=number_of(attributes.get("memory"), "GiB"),
        gpu_count=gpus or 0.0,
    )


def reserved(
    gathered: Gathering, key: Key, terms: Mapping[str, str], price: object, unit: str
) -> None:
    """Keep an hourly price of a standard reservation without upfront payment, else count it."""
    term = _TERMS.get(years(terms.get("LeaseContractLength", "")))
    if term is None:
        gathered.skip("a reservation of another length than 1 or 3 years")
    elif terms.get("OfferingClass", "standard") != "standard":
        gathered.skip("a convertible reservation")
    elif terms.get("PurchaseOption") != "No Upfront":
        gathered.skip("a reservation that is paid upfront, wholly or in part")
    elif unit not in ("Hrs", "Hours"):
        gathered.skip(f"a price per {unit or 'nothing'}, not per hour")
    else:
        gathered.price(key, term, price)


def years(text: str) -> int:
    """Return the years of ``1yr``, ``3 yr`` or ``1 Year``; 0 for anything else."""
    number, unit = text.strip()[:1], text.strip()[1:].strip().lower()
    return int(number) if number in {"1", "3"} and unit in {"yr", "year", "years"} else 0
