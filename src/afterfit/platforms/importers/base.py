"""What every importer gives back, and the one place where a price is believed or counted away."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from afterfit.core.digest import sha256_file, short
from afterfit.errors import InputError
from afterfit.platforms.shapes import Machine, Price, Source, Term

__all__ = [
    "Discount", "Gathering", "Head", "Imported", "Importer", "PriceFile", "Priced",
    "gpu_memory_gib", "number_of",
]  # fmt: skip

MOST_USD_PER_HOUR = 10_000.0
"""No machine that is sold by the hour costs as much: what does is of another unit."""

LEAST_GPU_GIB, MOST_GPU_GIB = 1.0, 640.0


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A price of a machine whose sizes the file does not tell."""

    provider: str
    region: str
    name: str
    term: Term
    usd_per_hour: float
    source: str


class Discount(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an own sheet: ``percent`` off, or the price itself (USD/h).

    ``machine`` is a pattern (``m7i.*``) of the name or the family, ``region`` one of the region;
    empty ones match all. ``term`` empty means every term. It holds to the end of ``until``
    (``2027-03-31``; empty: without an end).
    """

    provider: str = ""
    region: str = ""
    machine: str = ""
    term: str = ""
    percent: float | None = None
    usd_per_hour: float | None = None
    until: str = ""
    source: str = ""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What one file holds.

    ``machines`` have sizes and prices, ``prices`` are of machines that only have a name here.
    ``skipped`` counts the rows that were left out by their reason; ``notes`` are for people.
    """

    format: str
    machines: tuple[Machine, ...] = ()
    prices: tuple[Priced, ...] = ()
    discounts: tuple[Discount, ...] = ()
    sources: dict[str, Source] = {}
    skipped: dict[str, int] = {}
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which its format is told."""

    path: Path
    text: str

    @property
    def first_line(self) -> str:
        """The first line that is not empty."""
        return next((line for line in self.text.splitlines() if line.strip()), "")

    def columns(self, *names: str) -> bool:
        """Return whether the first line names all these columns, in any order."""
        found = {cell.strip().strip('"').lower() for cell in self.first_line.split(",")}
        return {name.lower() for name in names} <= found


@dataclass(frozen=True)
class PriceFile:
    """A file to import: ``provider`` where it does not say whose it is, ``regions`` to keep."""

    path: Path
    provider: str = ""
    regions: Collection[str] = ()
    known: Sequence[Machine] = ()

    @property
    def where(self) -> str:
        """Its path, for errors."""
        return str(self.path)


class Importer(Protocol):
    """A format of prices; a class of one is named by an entry point of ``afterfit.importers``."""

    title: str

    def sniff(self, head: Head) -> bool:
        """Return whether a file that begins so is of this format."""
        ...

    def read(self, file: PriceFile) -> Imported:
        """Return what the file holds; raises InputError where that is nothing."""
        ...


@dataclass
class Gathering:
    """Collects machines and prices of a file, and counts what is left out and why."""

    format: str
    file: PriceFile
    title: str
    confidence: str = "high"
    date: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    discounts: list[Discount] = field(default_factory=list)
    _sizes: dict[tuple[str, str, str], Machine] = field(default_factory=dict)
    _prices: dict[tuple[str, str, str], dict[Term, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._digest = sha256_file(self.file.path)

    @property
    def source(self) -> str:
        """The name of the file's `Source`."""
        return f"{self.format}-{short(self._digest)}"

    def skip(self, reason: str, rows: int = 1) -> None:
        """Count rows that are left out."""
        self.skipped[reason] += rows

    def wanted(self, region: str) -> bool:
        """Return whether a region is kept; counts one that is not."""
        if self.file.regions and region not in self.file.regions:
            self.skip("a region that was not asked for")
            return False
        return True

    def seen(self, date: object) -> None:
        """Take note of a date of the file (ISO 8601); the latest is the file's own."""
        text = str(date or "")[:10]
        if len(text) == len("2026-01-31") and text[:4].isdigit() and text[4] == "-":
            self.date = max(self.date, text)

    def machine(self, machine: Machine) -> None:
        """Keep the sizes of a machine; its prices are told by `price`."""
        key = (machine.provider, machine.region, machine.name)
        self._sizes.setdefault(key, msgspec.structs.replace(machine, source=self.source))

    def price(self, key: tuple[str, str, str], term: Term, usd: object) -> None:
        """Keep the price (USD/h) of ``(provider, region, name)``, or count why it cannot be one.

        Of two prices of one machine the greater is kept: a choice must not rest on the kinder one.
        """
        value = _number(usd)
        if value is None:
            return self.skip("the price is missing or no number")
        if value <= 0:
            return self.skip("the price is zero or negative")
        if value > MOST_USD_PER_HOUR:
            return self.skip(f"the price is above {MOST_USD_PER_HOUR:,.0f} USD/h")
        terms = self._prices.setdefault(key, {})
        if term in terms and terms[term] != value:
            self.skip("a second price of the same machine and term (the greater is kept)")
        terms[term] = max(value, terms.get(term, 0.0))
        return None

    def done(self) -> Imported:
        """Return all of it; raises InputError where nothing is left."""
        if not self._prices and not self.discounts:
            raise self.nothing()
        unsold = [key for key in self._sizes if key not in self._prices]
        if unsold:
            self.skip("a machine without a price that can be used", len(unsold))
        machines, prices = [], []
        for key, terms in sorted(self._prices.items()):
            told = {
                term: Price(usd_per_hour=usd, source=self.source) for term, usd in terms.items()
            }
            if key in self._sizes:
                machines.append(msgspec.structs.replace(self._sizes[key], prices=told))
            else:
                prices += [_priced(key, term, price) for term, price in told.items()]
        text = f"{self.title}, {self.file.path.name} (sha256 {self._digest})"
        source = msgspec.convert(
            {"text": text, "date": self.date, "confidence": self.confidence}, Source
        )
        return Imported(
            format=self.format,
            machines=tuple(machines),
            prices=tuple(prices),
            discounts=tuple(self.discounts),
            sources={self.source: source},
            skipped=dict(sorted(self.skipped.items())),
            notes=tuple(self.notes),
        )

    def nothing(self) -> InputError:
        """Return the error of a file that has no price that can be used."""
        told = "; ".join(f"{n} rows: {reason}" for reason, n in self.skipped.most_common(4))
        return InputError(
            f"no price in {self.file.path.name} can be used",
            where=self.file.where,
            why=told or "it has no rows of prices",
            fix="see docs/how-to/own-prices.md for which file to download"
            + (", or leave --regions out" if self.file.regions else ""),
        )


def _priced(key: tuple[str, str, str], term: Term, price: Price) -> Priced:
    provider, region, name = key
    return Priced(
        provider=provider, region=region, name=name, term=term,
        usd_per_hour=price.usd_per_hour, source=price.source,
    )  # fmt: skip


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float) else float(str(value).strip())
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def number_of(value: object, unit: str = "") -> float | None:
    """Return a size such as ``8``, ``"16"`` or ``"1,952.5 GiB"``; None for what is none."""
    text = str(value).replace(",", "").strip()
    if unit and text.lower().endswith(unit.lower()):
        text = text[: -len(unit)].strip()
    found = _number(text)
    return found if found is not None and found > 0 else None


def gpu_memory_gib(gathered: Gathering, gib: float) -> float | None:
    """Return the memory of one GPU in GiB, mended where its unit was mistaken.

    Some catalogs write ``SizeInMiB: 80`` for 80 GiB: as MiB that would be less than any GPU has.
    """
    if LEAST_GPU_GIB <= gib <= MOST_GPU_GIB:
        return gib
    if LEAST_GPU_GIB <= gib * 1024 <= MOST_GPU_GIB:
        gathered.skip("GPU memory in GiB although the column says MiB (mended, the row is kept)")
        return gib * 1024
    gathered.skip("GPU memory that no GPU has (left out, the row is kept)")
    return None
