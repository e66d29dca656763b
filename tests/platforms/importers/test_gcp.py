"""Google's catalog: prices of cores and memory, composed into the machines that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.platforms.importers.lists import machine, prices, read

from afterfit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

N2 = machine("n2-standard-4", provider="gcp", region="us-central1", vcpu=4.0, memory_gib=16.0)
G2 = machine(
    "g2-standard-4", provider="gcp", region="us-central1", vcpu=4.0, memory_gib=16.0,
    gpu="L4", gpu_count=1.0,
)  # fmt: skip


def sku(description: str, nanos: int, usage: str = "OnDemand", **told: Any) -> Any:
    """A SKU of the catalog; ``unit`` and ``currency`` may be told."""
    money = {"currencyCode": told.get("currency", "USD"), "units": "0", "nanos": nanos}
    expression = {
        "usageUnit": told.get("unit", "h"),
        "tieredRates": [{"startUsageAmount": 0, "unitPrice": money}],
    }
    return {
        "skuId": "X", "description": f"{description} running in Americas",
        "category": {"resourceFamily": "Compute", "usageType": usage},
        "serviceRegions": ["us-central1"],
        "pricingInfo": [{"effectiveTime": "2026-11-01T00:00:00Z", "pricingExpression": expression}],
    }  # fmt: skip


CORE, RAM = sku("N2 Instance Core", 31_611_000), sku("N2 Instance Ram", 4_237_000, unit="GiBy.h")
COSTS = 4 * 0.031611 + 16 * 0.004237


def test_a_machine_costs_its_cores_and_its_memory(tmp_path: Path) -> None:
    """Units and nanos; each usage is a term, and custom shapes have prices of their own."""
    skus = [
        CORE, RAM, sku("N2 Custom Instance Core", 99), sku("N2 Sole Tenancy Instance Ram", 99),
        sku("Spot Preemptible N2 Instance Core", 8_000_000, "Preemptible"),
        sku("Spot Preemptible N2 Instance Ram", 1_000_000, "Preemptible"),
        sku("Commitment v1: N2 Cpu in Americas for 1 Year", 20_000_000, "Commit1Yr"),
        sku("Commitment v1: N2 Ram in Americas for 1 Year", 2_000_000, "Commit1Yr"),
        sku("Commitment v1: N2 Cpu in Americas for 3 Years", 15_000_000, "Commit3Yr"),
    ]  # fmt: skip
    found = read(tmp_path, {"skus": skus}, known=[N2])
    name = "us-central1/n2-standard-4"
    assert found.format == "gcp"
    assert prices(found) == {
        (name, "on_demand"): pytest.approx(COSTS),
        (name, "spot"): pytest.approx(4 * 0.008 + 16 * 0.001),
        (name, "reserved_1y"): pytest.approx(4 * 0.02 + 16 * 0.002),
    }
    # The memory of three years is missing: that term is counted, and not guessed.
    assert found.skipped == {
        "a machine that one part's price is missing of": 1,
        "no core, memory or GPU of a family that is known by name": 2,
    }
    assert [source.date for source in found.sources.values()] == ["2026-11-01"]


def test_a_gpu_is_a_part_with_its_price(tmp_path: Path) -> None:
    """Without it the machine is not composed."""
    parts = [sku("G2 Instance Core", 25_000_000), sku("G2 Instance Ram", 3_000_000, unit="GiBy.h")]
    gpu = sku("Nvidia L4 GPU attached", 560_000_000)
    found = read(tmp_path, {"skus": [*parts, gpu]}, known=[G2])
    assert prices(found) == {
        ("us-central1/g2-standard-4", "on_demand"): pytest.approx(0.1 + 0.048 + 0.56)
    }
    with pytest.raises(InputError, match="no price") as error:
        read(tmp_path, {"skus": parts}, known=[G2])
    assert "one part's price is missing" in error.value.why


def test_other_currencies_units_and_broken_skus_are_counted(tmp_path: Path) -> None:
    """And a page that is not the last is told."""
    odd = [
        sku("N2 Instance Core", 5, currency="EUR"), sku("N2 Instance Core", 5, unit="mo"),
        sku("N2 Instance Core", 0), sku("N2 Instance Core", 5, "Strange"), "no SKU",
        {**CORE, "pricingInfo": []},
    ]  # fmt: skip
    found = read(tmp_path, [{"skus": [CORE, RAM, *odd], "nextPageToken": "x"}], known=[N2])
    assert prices(found) == {("us-central1/n2-standard-4", "on_demand"): pytest.approx(COSTS)}
    assert sum(found.skipped.values()) == len(odd)
    assert "pages follow" in found.notes[0]


def test_shared_cores_and_local_disks_are_not_composed(tmp_path: Path) -> None:
    """Their price has parts that are not in the sum."""
    small = machine("n2-tiny", provider="gcp", vcpu=2.0, memory_gib=1.0, shared=True)
    disks = machine("n2-standard-4-lssd", provider="gcp", vcpu=4.0, memory_gib=16.0)
    found = read(tmp_path, {"skus": [CORE, RAM]}, known=[N2, small, disks])
    assert len(prices(found)) == 1
    assert found.skipped == {"a machine with shared cores or local disks, which cost otherwise": 2}


@pytest.mark.parametrize("description", [
    "Compute optimized {}", "Compute optimized Instance {}", "C2 Instance {}",
])  # fmt: skip
def test_a_family_may_be_told_in_words(tmp_path: Path, description: str) -> None:
    """C2 is named otherwise from region to region."""
    c2 = machine("c2-standard-4", provider="gcp", vcpu=4.0, memory_gib=16.0)
    skus = [
        sku(description.format("Core"), 30_000_000),
        sku(description.format("Ram"), 4_000_000, unit="GiBy.h"),
        sku("Commitment: Compute optimized Core", 20_000_000, "Commit1Yr"),
        sku("Commitment: Compute optimized Ram", 3_000_000, "Commit1Yr", unit="GiBy.h"),
        sku("Preemptible C2 Instance Core", 9_000_000, "Preemptible"),
        sku("Spot Preemptible C2 Instance Ram", 1_000_000, "Preemptible", unit="GiBy.h"),
    ]
    assert prices(read(tmp_path, {"skus": skus}, known=[c2])) == {
        ("us-central1/c2-standard-4", "on_demand"): pytest.approx(0.12 + 0.064),
        ("us-central1/c2-standard-4", "reserved_1y"): pytest.approx(0.08 + 0.048),
        ("us-central1/c2-standard-4", "spot"): pytest.approx(0.036 + 0.016),
    }
