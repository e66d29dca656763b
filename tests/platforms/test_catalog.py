"""The catalog that ships is complete, and a user's prices replace its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.errors import NotFoundError
from afterfit.platforms.catalog import Catalog, builtin
from afterfit.platforms.facts import COMPLIANCE, FACTS, PATHS
from afterfit.platforms.families import azure_size
from afterfit.platforms.importers import Priced
from afterfit.platforms.shapes import Machine, Offer, Price, Source, Term


def offer(id: str, catalog: Catalog | None = None) -> Offer:  # noqa: A002  # as offers call it
    """The offer with this id."""
    return next(each for each in (catalog or builtin()).offers() if each.id == id)


def usd(found: Offer) -> dict[str, float]:
    """Its prices by term."""
    return {term: price.usd_per_hour for term, price in found.prices.items()}


def test_there_is_enough_to_choose_from() -> None:
    """More than 250 priced offers of more than twelve services, in both parts of the world."""
    priced = [each for each in builtin().offers() if each.prices and each.machine.vcpu]
    assert len(priced) > 2000
    assert len(builtin().services) >= 20
    regions = Counter(each.machine.region for each in priced)
    for region in ("us-east-1", "eu-west-1", "eastus", "westeurope", "us-central1", "europe-west1"):
        assert regions[region] >= 20, region
    assert len({each.id for each in builtin().offers()}) == len(builtin().offers())
    assert builtin().date == "2026-07-30"
    assert Catalog(machines=(), services=(), sources={}).date == ""


def test_every_service_says_all_facts_and_what_is_unknown_has_no_value() -> None:
    """Each has all facts; units are those of the contract; what has a value has a source."""
    for service in builtin().services:
        assert service.facts.keys() == FACTS.keys(), service.id
        assert set(service.compliance) == set(COMPLIANCE)
        assert set(service.paths) == set(PATHS)
        assert {name: fact.unit for name, fact in service.facts.items()} == FACTS
    serverless = builtin().service("aws-sagemaker-serverless").facts
    assert serverless["gpu"].value is False
    assert serverless["private_network"].value is False
    assert serverless["cold_start_s"].value is None
    assert serverless["cold_start_s"].note


def test_commitments_cost_less_than_on_demand_and_say_where_from() -> None:
    """Of AWS the prices of m6a are known, seen for two sizes and computed for the others."""
    seen = builtin().machine("aws/us-east-1/m6a.xlarge").prices
    assert {term: seen[term].usd_per_hour for term in ("reserved_1y", "savings_1y")} == {
        "reserved_1y": 0.11431,
        "savings_1y": 0.13965,
    }
    assert seen["on_demand"].source == "karpenter-aws"
    assert seen["reserved_1y"].source == "vantage-seen"
    larger = builtin().machine("aws/eu-west-1/m6a.4xlarge").prices
    assert larger["reserved_3y"].usd_per_hour == pytest.approx(4 * 0.08736)
    assert builtin().sources[larger["reserved_3y"].source].text.startswith("Computed")


def test_a_managed_service_costs_its_premium_on_top() -> None:
    """ml.m5.large is 20 % above m5.large, ml.g5.xlarge 40 %, ml.g5.2xlarge 25 %; no spot."""
    found = offer("aws-sagemaker/us-east-1/ml.m5.large")
    assert usd(found) == pytest.approx({"on_demand": 0.096 * 1.2})
    assert found.premium_per_hour == pytest.approx(0.096 * 0.2)
    assert usd(offer("aws-sagemaker/us-east-1/ml.g5.xlarge"))["on_demand"] == pytest.approx(1.4084)
    assert usd(offer("aws-sagemaker/us-east-1/ml.g5.2xlarge"))["on_demand"] == pytest.approx(1.515)
    assert "spot" in usd(offer("aws-ec2/us-east-1/g5.xlarge"))
    assert offer("aws-ec2/us-east-1/g5.xlarge").premium_per_hour == 0.0


def test_an_unknown_premium_makes_the_price_unknown() -> None:
    """No price of Vertex AI is known, so none is told; machines of Compute Engine have one."""
    found = offer("gcp-vertex/us-central1/n2-standard-4")
    assert found.prices == {}
    assert found.premium_per_hour is None
    assert set(usd(offer("gcp-gce/us-central1/n2-standard-4"))) == {
        "on_demand", "spot", "reserved_1y", "reserved_3y",
    }  # fmt: skip


def test_shares_are_priced_by_their_rates() -> None:
    """A pair of vCPU and memory costs both by the second; an unknown rate makes it unknown."""
    fargate = offer("aws-fargate/us-east-1/2vcpu-4gib")
    assert usd(fargate)["on_demand"] == pytest.approx(2 * 0.04048 + 4 * 0.004445, rel=1e-6)
    run = offer("gcp-run/europe-west1/2vcpu-4gib")
    assert usd(run)["on_demand"] == pytest.approx(3600 * (2 * 0.000024 + 4 * 0.0000025))
    x86, arm = (
        offer("aws-lambda/us-east-1/2vcpu-3.455gib"),
        offer("aws-lambda-arm/us-east-1/2vcpu-3.455gib"),
    )
    assert usd(x86)["on_demand"] == pytest.approx(3600 * 3.455 * 0.0000166667)
    assert usd(arm)["on_demand"] / usd(x86)["on_demand"] == pytest.approx(0.8, rel=1e-4)
    assert (arm.machine.arch, arm.machine.tier) == ("arm64", "neon")
    assert offer("aws-sagemaker-serverless/us-east-1/2vcpu-4gib").prices == {}


def test_plans_belong_to_their_service_alone() -> None:
    """A GPU plan of Cloud Run is no machine of Compute Engine."""
    assert offer("gcp-run-gpu/us-central1/run-l4-4vcpu-16gib").machine.gpu == "l4"
    names = [each.machine.name for each in builtin().offers() if each.service.id == "gcp-gce"]
    assert not [name for name in names if name.startswith("run-")]


def test_what_costs_something_unknown_is_told() -> None:
    """A rate that is known is charged; one that is not is in unpriced, and never in both."""
    gce, ec2 = builtin().service("gcp-gce"), builtin().service("aws-ec2")
    assert set(gce.unpriced) == {"cdn_gb", "zone_gb"}
    assert ec2.unpriced == ()
    assert [rate.usd for rate in ec2.rates["egress_gb"]] == [0.0, 0.09, 0.085, 0.07, 0.05]
    assert builtin().service("aws-apprunner").status == "closed"
    assert "2026-04-30" in builtin().service("aws-apprunner").status_note


def test_a_missing_name_is_told_with_what_is_near() -> None:
    """The error names machines that are spelled alike."""
    with pytest.raises(NotFoundError, match=r"m7i\.lrge") as caught:
        builtin().machine("aws/us-east-1/m7i.lrge")
    assert "aws/us-east-1/m7i.large" in caught.value.why
    with pytest.raises(NotFoundError, match="aws-ec3"):
        builtin().service("aws-ec3")


def test_the_catalog_loads_without_what_is_slow() -> None:
    """It is read by what comes with Python and msgspec: no numpy, no pandas, no scipy."""
    code = (
        "import sys; from afterfit.platforms.catalog import builtin; builtin().offers(); "
        "print(sorted({'numpy', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def mine(name: str, usd_per_hour: float, region: str = "us-east-1") -> Machine:
    """A machine of a user's price list, which tells no architecture."""
    prices: dict[Term, Price] = {"on_demand": Price(usd_per_hour=usd_per_hour, source="mine")}
    return Machine(provider="aws", region=region, name=name, prices=prices, source="mine")


MINE = {"mine": Source(text="my prices", date="2026-11-01")}


def test_a_user_s_price_replaces_ours_of_the_same_term() -> None:
    """The on demand price is the user's, spot stays ours, and so do the sizes not told."""
    merged = builtin().merged(machines=[mine("m7i.2xlarge", 0.3)], sources=MINE)
    found = merged.machine("aws/us-east-1/m7i.2xlarge")
    ours = builtin().machine("aws/us-east-1/m7i.2xlarge")
    assert found.prices["on_demand"].usd_per_hour == 0.3
    assert found.prices["on_demand"].source == "mine"
    assert found.prices["spot"] == ours.prices["spot"]
    assert (found.vcpu, found.tier, found.coremark) == (ours.vcpu, ours.tier, ours.coremark)
    assert merged.sources["mine"].text == "my prices"
    assert len(merged.machines) == len(builtin().machines)


def test_a_machine_of_another_region_is_offered_with_the_sizes_that_we_know() -> None:
    """A region that we have no prices of comes with a price list; prices of ours stay out of it."""
    merged = builtin().merged(machines=[mine("m7i.2xlarge", 0.5, "ap-south-1")], sources=MINE)
    found = offer("aws-ec2/ap-south-1/m7i.2xlarge", merged)
    assert usd(found) == {"on_demand": 0.5}
    assert found.machine.memory_gib == 32


def test_a_price_by_name_needs_a_size_that_is_known() -> None:
    """It is taken for a known machine, below a service's own name too; else it is left out."""
    prices = [
        Priced(provider="aws", region=region, name=name, term=term, usd_per_hour=1.0, source="mine")  # type: ignore[arg-type]
        for region, name, term in [
            ("us-east-1", "m7i.large", "savings_1y"),
            ("ap-south-1", "m7i.large", "on_demand"),
            ("us-east-1", "ml.m5.xlarge", "on_demand"),
            ("us-east-1", "x99.huge", "on_demand"),
        ]
    ]
    merged = builtin().merged(prices=prices, sources=MINE)
    large = merged.machine("aws/us-east-1/m7i.large")
    assert large.prices["savings_1y"].usd_per_hour == 1.0
    assert large.prices["on_demand"].usd_per_hour == 0.1008
    assert set(merged.machine("aws/ap-south-1/m7i.large").prices) == {"on_demand"}
    assert usd(offer("aws-sagemaker/us-east-1/ml.m5.xlarge", merged)) == {"on_demand": 1.0}
    assert len({each.id for each in merged.offers()}) == len(merged.offers())
    with pytest.raises(NotFoundError):
        merged.machine("aws/us-east-1/x99.huge")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Standard_D4s_v5", (4, 16)),
        ("Standard_E16as_v6", (16, 128)),
        ("Standard_D8pls_v6", (8, 16)),
        ("Standard_F4s_v2", (4, 8)),
        ("Standard_F4ams_v6", (4, 32)),
        ("Standard_B4ms", (4, 16)),
        ("Standard_NC4as_T4_v3", (4, None)),
        ("Standard_D64ps_v5", None),
        ("Standard_D8-4s_v5", None),
        ("m7i.large", None),
    ],
)
def test_sizes_of_azure_are_read_from_names(name: str, size: tuple[float, float] | None) -> None:
    """By the letters of the family; a name that does not tell gives nothing."""
    assert azure_size(name) == size


def test_sizes_of_azure_are_what_a_table_of_others_says(
    shared_data: Callable[[str], Path],
) -> None:
    """Every size that is read from a name agrees with a table that we must not ship."""
    with shared_data("../catalog/azure_eastus_westeurope.csv").open(encoding="utf-8") as stream:
        table = {row["instance_type"]: row for row in csv.DictReader(stream)}
    shipped = [each for each in builtin().machines if each.provider == "azure"]
    known = [each for each in shipped if each.memory_gib is not None]
    assert len(known) > 400
    for machine in shipped:
        assert machine.vcpu == float(table[machine.name]["vcpu"]), machine.name
        assert machine.arch == table[machine.name]["arch"], machine.name
    for machine in known:
        assert machine.memory_gib == float(table[machine.name]["memory_gib"]), machine.name


@pytest.mark.parametrize(
    ("table", "provider"),
    [
        ("aws_us-east-1.csv", "aws"),
        ("azure_eastus_westeurope.csv", "azure"),
        ("gcp_us-central1_europe-west1.csv", "gcp"),
    ],
)
def test_prices_are_those_of_their_sources(
    shared_data: Callable[[str], Path], table: str, provider: str
) -> None:
    """No price was changed on its way into the catalog."""
    with shared_data(f"../catalog/{table}").open(encoding="utf-8") as stream:
        rows = {f"{provider}/{r['region']}/{r['instance_type']}": r for r in csv.DictReader(stream)}
    checked = 0
    for machine in builtin().machines:
        if machine.id in rows:
            told = float(rows[machine.id]["on_demand_usd_hr"])
            assert machine.prices["on_demand"].usd_per_hour == pytest.approx(told, abs=1e-6)
            checked += 1
    assert checked > 200
