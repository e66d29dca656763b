"""AWS's price lists: JSON, CSV and Savings Plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.platforms.importers.lists import prices, read

from afterfit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

LARGE = ("us-east-1/m7i.large", "on_demand")


def product(name: str = "m7i.large", family: str = "Compute Instance", **told: str) -> Any:
    """A product as the EC2 file has it."""
    attributes = {
        "instanceType": name, "regionCode": "us-east-1", "location": "US East (N. Virginia)",
        "locationType": "AWS Region", "operatingSystem": "Linux", "tenancy": "Shared",
        "preInstalledSw": "NA", "capacitystatus": "Used", "vcpu": "2", "memory": "8 GiB", **told,
    }  # fmt: skip
    return {"productFamily": family, "attributes": {k: v for k, v in attributes.items() if v}}


def offer(usd: Any = "0.1008", unit: str = "Hrs", currency: str = "USD", **terms: str) -> Any:
    """One offer of a term as the EC2 file has it."""
    dimension = {"unit": unit, "pricePerUnit": {currency: usd}}
    return {"CODE": {"termAttributes": terms, "priceDimensions": {"CODE.RATE": dimension}}}


def price_list(products: Any, on_demand: Any, reserved: Any = None) -> Any:
    """A whole file."""
    return {
        "formatVersion": "v1.0", "disclaimer": "…", "offerCode": "AmazonEC2",
        "publicationDate": "2026-11-20T18:00:00Z", "products": products,
        "terms": {"OnDemand": on_demand, "Reserved": reserved or {}}, "attributesList": {},
    }  # fmt: skip


def test_a_machine_comes_with_sizes_price_date_and_digest(tmp_path: Path) -> None:
    """Attributes become sizes, and the source says which file it was and of when."""
    found = read(tmp_path, price_list({"A": product()}, {"A": offer()}))
    [machine] = found.machines
    assert found.format == "aws"
    assert (machine.id, machine.vcpu, machine.memory_gib) == ("aws/us-east-1/m7i.large", 2, 8)
    assert (machine.arch, machine.tier) == ("x86_64", "amx")
    assert prices(found) == {LARGE: 0.1008}
    [(name, source)] = found.sources.items()
    assert machine.prices["on_demand"].source == name
    assert source.date == "2026-11-20"
    assert "prices.json (sha256 " in source.text
    assert found.skipped == {}


def test_what_is_no_plain_linux_machine_is_counted_by_its_reason(tmp_path: Path) -> None:
    """Windows, dedicated hosts, SQL Server, reservations of capacity, storage and zones."""
    products = {
        "A": product(),
        "B": product(operatingSystem="Windows"),
        "C": product(tenancy="Dedicated"),
        "D": product(preInstalledSw="SQL Std"),
        "E": product(capacitystatus="AllocatedCapacityReservation"),
        "F": product(family="Storage"),
        "G": product(locationType="AWS Local Zone"),
        "H": product(regionCode="", location="Atlantis (Deep)"),
        "I": "no object",
    }
    found = read(tmp_path, price_list(products, {sku: offer() for sku in products}))
    assert prices(found) == {LARGE: 0.1008}
    assert found.skipped == {
        "a capacity reservation, not a machine in use": 1,
        "a local or wavelength zone": 1,
        "a product without attributes": 1,
        "a tenancy other than shared": 1,
        "an operating system other than Linux": 1,
        "no machine (storage, traffic, licences and so on)": 1,
        "software comes with it": 1,
        "the location 'Atlantis (Deep)' is not known": 1,
    }


def test_a_display_name_stands_in_for_the_region(tmp_path: Path) -> None:
    """Older files have no ``regionCode``."""
    told = product(regionCode="", location="EU (Ireland)")
    found = read(tmp_path, price_list({"A": told}, {"A": offer()}))
    assert prices(found) == {("eu-west-1/m7i.large", "on_demand"): 0.1008}


def test_reservations_are_those_without_upfront_payment(tmp_path: Path) -> None:
    """A price with a sum upfront is no price per hour, and a convertible one is another thing."""
    base = {"OfferingClass": "standard", "LeaseContractLength": "1yr"}
    reserved = {
        "A": {
            "1": offer("0.066", PurchaseOption="No Upfront", **base)["CODE"],
            "2": offer("500", "Quantity", PurchaseOption="All Upfront", **base)["CODE"],
            "3": offer("0.05", PurchaseOption="No Upfront",
                       **{**base, "OfferingClass": "convertible"})["CODE"],
            "4": offer("0.045", PurchaseOption="No Upfront",
                       **{**base, "LeaseContractLength": "3yr"})["CODE"],
        }
    }  # fmt: skip
    found = read(tmp_path, price_list({"A": product()}, {"A": offer()}, reserved))
    assert prices(found) == {
        LARGE: 0.1008,
        ("us-east-1/m7i.large", "reserved_1y"): 0.066,
        ("us-east-1/m7i.large", "reserved_3y"): 0.045,
    }
    assert found.skipped == {
        "a convertible reservation": 1,
        "a reservation that is paid upfront, wholly or in part": 1,
    }


@pytest.mark.parametrize(
    ("usd", "unit", "currency", "reason"),
    [
        ("0.0000000000", "Hrs", "USD", "the price is zero or negative"),
        ("-1", "Hrs", "USD", "the price is zero or negative"),
        ("NaN", "Hrs", "USD", "the price is missing or no number"),
        (None, "Hrs", "USD", "the price is missing or no number"),
        ("1e300", "Hrs", "USD", "the price is above 10,000 USD/h"),
        ("0.1", "Quantity", "USD", "a price per Quantity, not per hour"),
        ("0.7", "Hrs", "CNY", "a currency other than USD"),
    ],
)
def test_a_price_that_cannot_be_one_is_counted(
    tmp_path: Path, usd: Any, unit: str, currency: str, reason: str
) -> None:
    """The good row stays, the odd one is counted."""
    products = {"A": product(), "B": product("m7i.xlarge")}
    on_demand = {"A": offer(), "B": offer(usd, unit, currency)}
    found = read(tmp_path, price_list(products, on_demand))
    assert prices(found) == {LARGE: 0.1008}
    assert found.skipped == {reason: 1, "a machine without a price that can be used": 1}


def test_of_two_prices_the_greater_is_kept(tmp_path: Path) -> None:
    """Two SKUs of one machine are a doubt, and a choice must not rest on the kinder price."""
    found = read(
        tmp_path,
        price_list({"A": product(), "B": product()}, {"A": offer("0.09"), "B": offer("0.11")}),
    )
    assert prices(found) == {LARGE: 0.11}
    assert sum(found.skipped.values()) == 1


def test_regions_that_were_not_asked_for_are_left_out(tmp_path: Path) -> None:
    """``--regions`` keeps the file small; none of them left is an error."""
    both = {"A": product(), "B": product(regionCode="eu-west-1")}
    whole = price_list(both, {"A": offer(), "B": offer("0.1124")})
    found = read(tmp_path, whole, regions={"eu-west-1"})
    assert prices(found) == {("eu-west-1/m7i.large", "on_demand"): 0.1124}
    with pytest.raises(InputError, match="no price") as error:
        read(tmp_path, whole, regions={"mars-1"})
    assert "2 rows: a region that was not asked for" in error.value.why
    assert "--regions" in error.value.fix


def test_machines_of_endpoints_keep_the_services_name(tmp_path: Path) -> None:
    """SageMaker's list has a price for hosting, and others for training that are counted."""
    products = {
        "A": product("ml.m5.large-Hosting", "ML Instance", component="Hosting"),
        "B": product("ml.m5.large-Training", "ML Instance", component="Training"),
    }
    found = read(tmp_path, price_list(products, {"A": offer("0.115"), "B": offer("0.2")}))
    assert prices(found) == {("us-east-1/ml.m5.large", "on_demand"): 0.115}
    assert found.skipped == {"a machine of SageMaker for another use than endpoints": 1}


CSV = """\
"FormatVersion","v1.0"
"Disclaimer","Informational."
"Publication Date","2026-11-20T18:00:00Z"
"Version","20261120180000"
"OfferCode","AmazonEC2"
"SKU","TermType","Unit","PricePerUnit","Currency","LeaseContractLength","PurchaseOption",\
"OfferingClass","Product Family","Location","Location Type","Instance Type","vCPU","Memory",\
"Tenancy","Operating System","Pre Installed S/W","CapacityStatus","Region Code"
"""
ROW = '"{sku}","{term}","Hrs","{usd}","USD","{lease}","{option}","{kind}","Compute Instance",\
"US East (N. Virginia)","AWS Region","m7i.large","2","8 GiB","Shared","{os}","NA","Used",\
"us-east-1"\n'


def row(**told: str) -> str:
    """A row of the CSV."""
    given = {"sku": "A", "term": "OnDemand", "usd": "0.1008", "lease": "", "option": "",
             "kind": "", "os": "Linux"}  # fmt: skip
    return ROW.format(**{**given, **told})


def test_the_csv_says_the_same(tmp_path: Path) -> None:
    """Five lines about the file, the header, and a price a row."""
    one = {"term": "Reserved", "lease": "1yr", "kind": "standard"}
    text = CSV + row() + row(usd="0.066", option="No Upfront", **one)
    text += row(usd="0", option="All Upfront", **one) + row(os="Windows") + "a,b\n"
    found = read(tmp_path, text, "index.csv")
    assert (found.format, [source.date for source in found.sources.values()]) == (
        "aws-csv",
        ["2026-11-20"],
    )
    assert prices(found) == {LARGE: 0.1008, ("us-east-1/m7i.large", "reserved_1y"): 0.066}
    assert found.machines[0].memory_gib == 8
    assert found.skipped == {
        "a reservation that is paid upfront, wholly or in part": 1,
        "a row with more or fewer cells than the header": 1,
        "an operating system other than Linux": 1,
    }


def rate(usd: str = "0.073", name: str = "m7i.large", **told: Any) -> Any:
    """A rate of a plan."""
    return {
        "discountedSku": "X", "discountedUsageType": f"BoxUsage:{name}",
        "discountedOperation": "RunInstances", "discountedServiceCode": "AmazonEC2",
        "discountedRegionCode": "us-east-1", "discountedInstanceType": name, "unit": "Hrs",
        "discountedRate": {"price": usd, "currency": "USD"}, **told,
    }  # fmt: skip


def plans(*terms: tuple[str, str, int, list[Any]]) -> Any:
    """A file of plans, each (family, payment, years, rates)."""
    return {
        "version": "1", "publicationDate": "2026-11-18T00:00:00Z", "regionCode": "us-east-1",
        "products": [
            {"sku": f"P{n}", "productFamily": family, "attributes": {"purchaseOption": option}}
            for n, (family, option, _, _) in enumerate(terms)
        ],
        "terms": {"savingsPlan": [
            {"sku": f"P{n}", "leaseContractLength": {"duration": years, "unit": "year"},
             "rates": rates}
            for n, (_, _, years, rates) in enumerate(terms)
        ]},
    }  # fmt: skip


def test_rates_of_savings_plans_become_terms(tmp_path: Path) -> None:
    """Without upfront payment; a Compute plan wins over one that binds to a family."""
    compute, instance = "ComputeSavingsPlans", "EC2InstanceSavingsPlans"
    odd = [
        rate(discountedOperation="RunInstances:0002"),
        rate(discountedUsageType="DedicatedUsage:m7i.large"),
        rate(discountedServiceCode="AWSLambda"),
        rate(discountedRate={"price": "0.5", "currency": "CNY"}),
        rate(discountedInstanceType="", discountedUsageType="BoxUsage"),
        rate(discountedRegionCode="us-west-2-den-1", discountedUsageType="DEN1-BoxUsage:m7i.large"),
        "no rate",
    ]
    found = read(
        tmp_path,
        plans(
            (compute, "No Upfront", 1, [rate(), *odd]),
            (compute, "No Upfront", 3, [rate("0.05")]),
            (compute, "All Upfront", 1, [rate("0.06")]),
            (instance, "No Upfront", 1, [rate("0.065"), rate("0.13", "m7i.xlarge")]),
        ),
    )
    assert found.format == "aws-savings"
    assert prices(found) == {
        ("us-east-1/m7i.large", "savings_1y"): 0.073,
        ("us-east-1/m7i.large", "savings_3y"): 0.05,
        ("us-east-1/m7i.xlarge", "savings_1y"): 0.13,
    }
    assert sum(found.skipped.values()) == len(odd) + 2


SAVINGS = """\
FormatVersion,v1.0
Disclaimer,x
Publication Date,2026-04-22T19:42:03Z
Version,20260422194203
OfferCode,AWSComputeSavingsPlan
SKU,RateCode,Unit,EffectiveDate,DiscountedRate,Currency,DiscountedSKU,DiscountedServiceCode,\
DiscountedUsageType,DiscountedOperation,PurchaseOption,LeaseContractLength,\
LeaseContractLengthUnit,Product Family,DiscountedRegionCode,DiscountedInstanceType
P,P.X,Hrs,2026-04-01,0.073,USD,X,AmazonEC2,BoxUsage:m7i.large,RunInstances,No Upfront,1,year,\
ComputeSavingsPlans,us-east-1,m7i.large
P,P.X,Hrs,2026-04-01,0.13,USD,X,AmazonEC2,BoxUsage:m7i.large,RunInstances:0002,No Upfront,1,year,\
ComputeSavingsPlans,us-east-1,m7i.large
P,P.X,Hrs,2026-04-01,0.065,USD,X,AmazonEC2,BoxUsage:m7i.large,RunInstances,No Upfront,1,year,\
EC2InstanceSavingsPlans,us-east-1,m7i.large
P,P.X
"""


def test_the_csv_of_savings_plans_says_the_same(tmp_path: Path) -> None:
    """It begins as the list of machines does, and is told from it by its columns."""
    found = read(tmp_path, SAVINGS, "plans.csv")
    assert found.format == "aws-savings-csv"
    assert prices(found) == {("us-east-1/m7i.large", "savings_1y"): 0.073}
    assert [source.date for source in found.sources.values()] == ["2026-04-22"]
    assert sum(found.skipped.values()) == 3
