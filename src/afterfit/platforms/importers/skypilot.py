"""SkyPilot's catalogs: CSV files read by their header, whose columns stand in any order.

A file does not say whose it is: the folder does (``aws/vms.csv``), or ``--provider``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from statistics import median

from afterfit.errors import UsageError
from afterfit.platforms.families import arch_of, shared, tier_of
from afterfit.platforms.importers.base import (
    Gathering,
    Head,
    Imported,
    PriceFile,
    gpu_memory_gib,
    number_of,
)
from afterfit.platforms.importers.stream import csv_rows
from afterfit.platforms.shapes import Machine

__all__ = ["Format"]

PROVIDERS = {
    "aws": "aws", "azure": "azure", "gcp": "gcp", "lambda": "lambda", "runpod": "runpod",
    "oci": "oci", "fluidstack": "fluidstack", "do": "digitalocean", "nebius": "nebius",
    "vast": "vast", "paperspace": "paperspace", "cudo": "cudo", "ibm": "ibm", "scp": "scp",
    "vsphere": "vsphere", "hyperbolic": "hyperbolic", "primeintellect": "primeintellect",
}  # fmt: skip
"""SkyPilot's names of folders -> ours."""
_SIZE = re.compile(r"['\"]SizeInMiB['\"]\s*:\s*([0-9.]+)")
_ZONE_ID = re.compile(r"[a-z]+\d+-az\d+")
"""``use1-az2`` is a zone of a region; ``use1-bos1-az1`` and ``use1-wl1-bos-wlz1`` are others."""


class Format:
    """Columns ``InstanceType``, ``Price``, ``SpotPrice``, ``Region``, ``GpuInfo`` and others."""

    title = "SkyPilot catalog (CSV)"

    def sniff(self, head: Head) -> bool:
        """Return whether the header has its columns."""
        return head.columns("InstanceType", "Price", "Region")

    def read(self, file: PriceFile) -> Imported:
        """Return on demand prices, and the median of spot prices over the zones."""
        provider = _provider(file)
        gathered = Gathering("skypilot", file, self.title, confidence="medium")
        spot: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for row in csv_rows(file.path, "InstanceType"):
            _row(gathered, spot, provider, row)
        for key, prices in spot.items():
            gathered.price(key, "spot", median(prices))
        return gathered.done()


def _provider(file: PriceFile) -> str:
    found = file.provider or PROVIDERS.get(file.path.resolve().parent.name.lower(), "")
    if not found:
        raise UsageError(
            f"{file.path.name} does not say whose prices it has", where=file.where,
            why="SkyPilot's files are told apart by their folders (aws/vms.csv)",
            fix="--provider aws",
        )  # fmt: skip
    return found


def _row(
    gathered: Gathering,
    spot: dict[tuple[str, str, str], list[float]],
    provider: str,
    row: Mapping[str, str],
) -> None:
    name, region = row.get("InstanceType", "").strip(), row.get("Region", "").strip()
    if "" in row or not name or not region:
        return gathered.skip("a row without a machine's name or region, or of odd length")
    if provider == "aws" and not _in_region(row.get("AvailabilityZone", ""), region):
        return gathered.skip("a local or wavelength zone")
    if not gathered.wanted(region):
        return None
    key = (provider, region, name)
    gathered.machine(_machine(gathered, key, row))
    if row.get("Price", "").strip():
        gathered.price(key, "on_demand", row["Price"])
    if (price := number_of(row.get("SpotPrice"))) is not None:
        spot[key].append(price)
    elif row.get("SpotPrice", "").strip():
        gathered.skip("the price is zero or negative, or no number")
    elif not row.get("Price", "").strip():
        gathered.skip("the price is missing or no number")
    return None


def _in_region(zone: str, region: str) -> bool:
    """Return whether a zone is one of the region itself, told by its id or by its name."""
    named = zone.startswith(region) and len(zone) == len(region) + 1
    return not zone or named or bool(_ZONE_ID.fullmatch(zone))


def _machine(gathered: Gathering, key: tuple[str, str, str], row: Mapping[str, str]) -> Machine:
    provider, region, name = key
    told = {"arm64": "arm64", "x86_64": "x86_64"}.get(row.get("Arch", "").strip().lower())
    arch = arch_of(provider, name) or told or ""
    gpu = row.get("AcceleratorName", "").strip()
    size = _SIZE.search(row.get("GpuInfo", ""))
    memory = gpu_memory_gib(gathered, float(size[1]) / 1024) if size and gpu else None
    return Machine(
        provider=provider, region=region, name=name,
        arch=arch,  # type: ignore[arg-type]
        tier=tier_of(provider, name, arch), shared=shared(provider, name),
        vcpu=number_of(row.get("vCPUs")), memory_gib=number_of(row.get("MemoryGiB")),
        gpu=gpu, gpu_count=number_of(row.get("AcceleratorCount")) or 0.0 if gpu else 0.0,
        gpu_memory_gib=memory,
    )  # fmt: skip
