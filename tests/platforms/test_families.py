"""Families, tiers and shared processors are read from the names of machines."""

from __future__ import annotations

import pytest

from afterfit.platforms.families import arch_of, family_of, processor_of, shared, tier_of


@pytest.mark.parametrize(
    ("provider", "name", "family"),
    [
        ("aws", "m7i.large", "m7i"),
        ("aws", "m7i-flex.2xlarge", "m7i-flex"),
        ("aws", "ml.g5.xlarge", "ml.g5"),
        ("aws", "p6-b200.48xlarge", "p6-b200"),
        ("azure", "Standard_D4s_v5", "Ds v5"),
        ("azure", "Standard_D8-4pls_v6", "Dpls v6"),
        ("azure", "Standard_B1ms", "Bms v1"),
        ("azure", "Standard_NC24ads_A100_v4", "NCads A100 v4"),
        ("gcp", "n2-standard-4", "n2-standard"),
        ("gcp", "c4-standard-8-lssd", "c4-standard-lssd"),
        ("gcp", "a2-highgpu-1g", "a2-highgpu"),
        ("gcp", "e2-micro", "e2"),
        ("hetzner", "cx33", "cx3"),
        ("digitalocean", "s-2vcpu-4gb", "s"),
        ("own", "4", "4"),
    ],
)
def test_family(provider: str, name: str, family: str) -> None:
    """A family is what differs in nothing but size."""
    assert family_of(provider, name) == family


@pytest.mark.parametrize(
    ("provider", "name", "tier"),
    [
        ("aws", "m5.large", "avx512"),
        ("aws", "m5n.large", "vnni"),
        ("aws", "c6i.xlarge", "vnni"),
        ("aws", "r7i.large", "amx"),
        ("aws", "c7i-flex.large", "amx"),
        ("aws", "m8i.large", "amx"),
        ("aws", "m6a.large", "avx2"),
        ("aws", "m7a.large", "vnni"),
        ("aws", "t3a.large", "avx2"),
        ("aws", "t4g.small", "neon"),
        ("aws", "g5g.xlarge", "neon"),
        ("aws", "c7g.large", "i8mm"),
        ("aws", "m8g.large", "i8mm"),
        ("aws", "ml.c5.large", "avx512"),
        ("aws", "p6-b200.48xlarge", "amx"),
        ("aws", "g7e.2xlarge", ""),
        ("aws", "nonsense", ""),
        ("azure", "Standard_D4s_v3", "avx2"),
        ("azure", "Standard_D4ds_v5", "vnni"),
        ("azure", "Standard_E4s_v6", "amx"),
        ("azure", "Standard_D4as_v5", "avx2"),
        ("azure", "Standard_F4ams_v6", "vnni"),
        ("azure", "Standard_D4pls_v5", "neon"),
        ("azure", "Standard_D4ps_v6", "i8mm"),
        ("azure", "Standard_B2ps_v2", "neon"),
        ("azure", "Standard_F4s_v2", "avx512"),
        ("azure", "Standard_NC40ads_H100_v5", "vnni"),
        ("azure", "Standard_NV4ads_V710_v5", "vnni"),
        ("azure", "Standard_X4_v9", ""),
        ("gcp", "n1-standard-4", ""),
        ("gcp", "e2-highcpu-4", "avx2"),
        ("gcp", "n2-standard-4", "vnni"),
        ("gcp", "c3-highcpu-4", "amx"),
        ("gcp", "c3d-highcpu-4", "vnni"),
        ("gcp", "t2a-standard-2", "neon"),
        ("gcp", "c4a-standard-2", "i8mm"),
        ("hetzner", "cax11", "neon"),
        ("hetzner", "cx33", ""),
        ("elsewhere", "big", ""),
    ],
)
def test_tier(provider: str, name: str, tier: str) -> None:
    """A tier is the least of the processors of a family, and empty where nobody knows."""
    assert tier_of(provider, name, arch_of(provider, name)) == tier


def test_an_unknown_arm_has_neon() -> None:
    """Every ARM of 64 bits has NEON."""
    assert tier_of("elsewhere", "big", "arm64") == "neon"


@pytest.mark.parametrize(
    ("provider", "name", "arch"),
    [
        ("aws", "a1.large", "arm64"),
        ("aws", "im4gn.large", "arm64"),
        ("aws", "g5.xlarge", "x86_64"),
        ("azure", "Standard_B2pls_v2", "arm64"),
        ("azure", "Standard_D2as_v5", "x86_64"),
        ("gcp", "n4a-standard-2", "arm64"),
        ("gcp", "n4-standard-2", "x86_64"),
        ("hetzner", "cax11", "arm64"),
        ("elsewhere", "big", ""),
    ],
)
def test_arch(provider: str, name: str, arch: str) -> None:
    """Names tell the architecture."""
    assert arch_of(provider, name) == arch


def test_shared() -> None:
    """Processors that burst are told from whole ones."""
    burst = [
        ("aws", "t3.large"), ("aws", "t4g.small"), ("aws", "m7i-flex.large"),
        ("azure", "Standard_B2s"), ("gcp", "e2-micro"), ("gcp", "e2-medium"), ("hetzner", "cx33"),
        ("digitalocean", "s-2vcpu-4gb"), ("flyio", "shared-cpu-1x"),
    ]  # fmt: skip
    whole = [
        ("aws", "trn1.2xlarge"), ("aws", "m7i.large"), ("azure", "Standard_D2s_v5"),
        ("gcp", "e2-standard-2"), ("hetzner", "ccx13"), ("flyio", "performance-1x"),
    ]  # fmt: skip
    assert all(shared(*machine) for machine in burst)
    assert not any(shared(*machine) for machine in whole)


@pytest.mark.parametrize(
    ("provider", "one", "other", "same"),
    [
        ("gcp", "e2-highcpu-2", "e2-standard-4", True),
        ("gcp", "n2-highcpu-2", "n2d-highcpu-2", False),
        ("aws", "c7i.large", "m7i.xlarge", True),
        ("aws", "r6gd.large", "m6g.large", True),
        ("aws", "c7i.large", "c7a.large", False),
        ("aws", "c7i.large", "c6i.large", False),
        ("aws", "m5.large", "c5.large", False),
        ("aws", "c7i-flex.large", "c7i.large", False),
        ("azure", "Standard_D2s_v5", "Standard_E4s_v5", True),
        ("azure", "Standard_D2s_v5", "Standard_D2as_v5", False),
        ("azure", "Standard_D2s_v5", "Standard_F2s_v2", False),
    ],
)
def test_families_on_one_processor_are_known(
    provider: str, one: str, other: str, *, same: bool
) -> None:
    """They differ in memory and disks; another maker or generation is another processor."""
    assert (processor_of(provider, one) == processor_of(provider, other)) is same
