"""Small files in the shapes of real price lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from afterfit.platforms.importers import Imported, PriceFile, import_file
from afterfit.platforms.shapes import Machine


def read(folder: Path, content: Any, name: str = "prices.json", **options: Any) -> Imported:
    """Import a text or a JSON value as a file; options are those of `PriceFile`, and format_."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    format_ = options.pop("format_", "")
    return import_file(PriceFile(path, **options), format_)


def prices(found: Imported) -> dict[tuple[str, str], float]:
    """(region/name, term) -> USD per hour of all that was imported."""
    told = {
        (f"{machine.region}/{machine.name}", term): price.usd_per_hour
        for machine in found.machines
        for term, price in machine.prices.items()
    }
    by_name = {(f"{p.region}/{p.name}", p.term): p.usd_per_hour for p in found.prices}
    return {**told, **by_name}  # type: ignore[dict-item]


def machine(name: str = "m7i.large", **told: Any) -> Machine:
    """A machine of the catalog."""
    given = {"provider": "aws", "region": "us-east-1", "vcpu": 2.0, "memory_gib": 8.0, **told}
    return Machine(name=name, **given)
