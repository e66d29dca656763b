"""gpuhunt's catalog items, as JSON, as JSON lines or as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
from afterfit.platforms.importers.stream import EACH, csv_rows, json_members, opened_text
from afterfit.platforms.shapes import Machine

__all__ = ["Format"]

PROVIDERS = (
    "aws", "azure", "gcp", "cudo", "datacrunch", "digitalocean", "hotaisle", "lambdalabs",
    "nebius", "oci", "runpod", "tensordock", "vastai", "vultr", "cloudrift", "verda",
)  # fmt: skip
"""Its CSV files are named after these, and do not say it inside."""


class Format:
    """Fields ``provider``, ``instance_name``, ``location``, ``price``, ``gpu_memory``, ``spot``."""

    title = "gpuhunt catalog"

    def sniff(self, head: Head) -> bool:
        """Return whether its fields are there."""
        fields = ('"instance_name"', '"location"')
        as_json = head.text.lstrip()[:1] in {"[", "{"} and all(f in head.text for f in fields)
        return as_json or head.columns("instance_name", "location", "price")

    def read(self, file: PriceFile) -> Imported:
        """Return on demand and spot prices; memory is taken as GiB, as gpuhunt rounds it."""
        gathered = Gathering("gpuhunt", file, self.title, confidence="medium")
        for item in _items(file):
            if isinstance(item, dict):
                _item(gathered, file, item)
            else:
                gathered.skip("a row that is no object")
        return gathered.done()


def _items(file: PriceFile) -> Iterator[Any]:
    with opened_text(file.path) as stream:
        opening = stream.read(4096).lstrip()[:1]
    if opening not in {"[", "{"}:
        yield from csv_rows(file.path, "instance_name")
        return
    enter = ((),) if opening == "[" else ((), ("items",))
    for path, value in json_members(file.path, enter):
        if path[-1:] == (EACH,):
            yield value


def _item(gathered: Gathering, file: PriceFile, item: Mapping[str, Any]) -> None:
    provider = str(item.get("provider") or file.provider or _named(file))
    name, region = str(item.get("instance_name") or ""), str(item.get("location") or "")
    if "" in item or not name or not region:
        return gathered.skip("a row without a machine's name or region, or of odd length")
    if not gathered.wanted(region):
        return None
    key = (provider, region, name)
    gathered.machine(_machine(gathered, key, item))
    spot = str(item.get("spot", "")).strip().lower() in {"true", "1"}
    return gathered.price(key, "spot" if spot else "on_demand", item.get("price"))


def _named(file: PriceFile) -> str:
    stem = file.path.stem.lower()
    if stem not in PROVIDERS:
        raise UsageError(
            f"{file.path.name} does not say whose prices it has", where=file.where,
            why="gpuhunt's CSV files are told apart by their names (aws.csv)",
            fix="--provider aws",
        )  # fmt: skip
    return stem


def _machine(gathered: Gathering, key: tuple[str, str, str], item: Mapping[str, Any]) -> Machine:
    provider, region, name = key
    told = {"x86": "x86_64", "arm": "arm64"}.get(str(item.get("cpu_arch") or "").lower())
    arch = arch_of(provider, name) or told or ""
    gpu = str(item.get("gpu_name") or "")
    memory = number_of(item.get("gpu_memory"))
    return Machine(
        provider=provider, region=region, name=name,
        arch=arch,  # type: ignore[arg-type]
        tier=tier_of(provider, name, arch), shared=shared(provider, name),
        vcpu=number_of(item.get("cpu")), memory_gib=number_of(item.get("memory")),
        gpu=gpu, gpu_count=number_of(item.get("gpu_count")) or 0.0 if gpu else 0.0,
        gpu_memory_gib=None if memory is None or not gpu else gpu_memory_gib(gathered, memory),
    )  # fmt: skip
