"""The catalog's own files, read from the package: machines and sources as CSV, services as TOML.

No row is believed blindly: `afterfit.platforms.lint` is run on all of it before a release.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, cast

import msgspec

from afterfit.platforms.facts import FACTS
from afterfit.platforms.families import shared, tier_of
from afterfit.platforms.shapes import Machine, Price, Service, Source, Term

__all__ = ["machines", "read", "services", "sources"]

MACHINES = ("machines_aws.csv", "machines_azure.csv", "machines_gcp.csv", "hosts.csv")
UNKNOWN = "unknown"
_TERMS: dict[Term, str] = {
    "on_demand": "price_source",
    "spot": "spot_source",
    "reserved_1y": "reserved_source",
    "reserved_3y": "reserved_source",
    "savings_1y": "reserved_source",
}
"""Term, which is also the column of its price -> the column of its source."""

_PARTS = ("facts", "compliance", "paths", "rates")


def read(name: str) -> str:
    """The text of one of the catalog's files."""
    return (files("afterfit.platforms") / "data" / name).read_text("utf-8")


def sources() -> dict[str, Source]:
    """The sources by name."""
    rows = {row.pop("name"): row for row in _rows("sources.csv")}
    return msgspec.convert(rows, dict[str, Source])


def machines() -> tuple[Machine, ...]:
    """The machines of all files, with the tiers of their families."""
    return tuple(_machine(row) for name in MACHINES for row in _rows(name))


def services(text: str = "") -> tuple[Service, ...]:
    """The services, each with what its layers say; of ``text`` where it is given."""
    told = tomllib.loads(text or read("services.toml"))
    layers, own = told["layers"], told["services"]
    return tuple(_service(name, own, layers) for name in own)


def _rows(name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(read(name).splitlines())


def _machine(row: Mapping[str, str]) -> Machine:
    provider, name, arch = row["provider"], row["name"], cast("Any", row["arch"])
    return Machine(
        provider=provider,
        region=row["region"],
        name=name,
        arch=arch,
        tier=tier_of(provider, name, arch),
        vcpu=_number(row["vcpu"]),
        memory_gib=_number(row["memory_gib"]),
        shared=shared(provider, name),
        gpu=row["gpu"],
        gpu_count=_number(row["gpu_count"]) or 0.0,
        gpu_memory_gib=_number(row["gpu_memory_gib"]),
        coremark=_number(row["coremark"]),
        prices={
            term: Price(usd_per_hour=float(row[term]), source=row[source])
            for term, source in _TERMS.items()
            if row[term]
        },
        source=row["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _service(name: str, own: Mapping[str, Any], layers: Mapping[str, Any]) -> Service:
    told: dict[str, Any] = {"unpriced": (), **{part: {} for part in _PARTS}}
    for layer in _layers(name, own, layers):
        _lay(told, layer)
    told["premium"] = {
        begin: None if share == UNKNOWN else share
        for begin, share in told.get("premium", {}).items()
    }
    for part in ("facts", "compliance", "paths"):
        told[part] = {
            key: {"value": None, "unit": FACTS.get(key, ""), **fact}
            for key, fact in told[part].items()
        }
    return msgspec.convert(told | {"id": name}, Service)


def _layers(
    name: str, own: Mapping[str, Any], layers: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """What a service is made of, the most general first."""
    service = own[name]
    if "like" in service:
        return [*_layers(service["like"], own, layers), service]
    return [layers["any"], *(layers[layer] for layer in service["layers"]), service]


def _lay(told: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put a layer on top: a rate makes an unknown one known, and the other way round."""
    for part in _PARTS:
        told[part] = told[part] | layer.get(part, {})
    priced, unpriced, free = (
        layer.get("rates", {}),
        layer.get("unpriced", ()),
        layer.get("free", ()),
    )
    told["unpriced"] = tuple(
        item
        for item in dict.fromkeys((*told["unpriced"], *unpriced))
        if item not in priced and item not in free
    )
    for item in (*unpriced, *free):
        told["rates"].pop(item, None)
    rest = {"layers", "like", "unpriced", "free", *_PARTS}
    told.update({key: value for key, value in layer.items() if key not in rest})
