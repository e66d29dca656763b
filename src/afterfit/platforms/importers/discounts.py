"""Own discounts on the prices of machines: the line that says most of a price counts, alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple, cast

import msgspec

from afterfit.platforms.importers.base import Discount
from afterfit.platforms.shapes import Machine, Price, Source, Term

__all__ = ["Discounted", "discounted"]

SPECIFIC = ("provider", "region", "machine", "term")


class Discounted(NamedTuple):
    """Machines after discounts, the sources of what changed, how many prices, and what to tell."""

    machines: tuple[Machine, ...]
    sources: dict[str, Source]
    changed: int
    warnings: tuple[str, ...]


def discounted(
    machines: Iterable[Machine],
    lines: Sequence[Discount],
    today: str,
    sources: Mapping[str, Source],
) -> Discounted:
    """Return machines with the discounts that are valid ``today`` (ISO 8601).

    Of the lines that match a price one is applied: a price before a share, then the line that names
    most, then the later one. A price without a term is that on demand. ``sources`` are known ones:
    a discounted price tells of its list and of the sheet.
    """
    valid = [line for line in lines if not line.until or today <= line.until]
    warnings = []
    if len(valid) < len(lines):
        warnings.append(f"{len(lines) - len(valid)} of {len(lines)} own discounts have run out")
    changed, used, found = 0, set[int](), []
    for machine in machines:
        fitting = [(n, line) for n, line in enumerate(valid) if _of(line, machine)]
        prices, numbers = _prices(machine, fitting)
        used |= numbers
        changed += sum(prices[term] != machine.prices.get(term) for term in prices)
        same = prices == machine.prices
        found.append(machine if same else msgspec.structs.replace(machine, prices=prices))
    warnings += [
        f"no price has the own discount of {_told(line)}"
        for number, line in enumerate(valid)
        if number not in used
    ]
    return Discounted(tuple(found), _together(found, sources), changed, tuple(warnings))


def _of(line: Discount, machine: Machine) -> bool:
    return (
        line.provider in ("", machine.provider)
        and fnmatchcase(machine.region, line.region or "*")
        and any(fnmatchcase(name, line.machine or "*") for name in (machine.name, machine.family))
    )


def _prices(
    machine: Machine, fitting: Sequence[tuple[int, Discount]]
) -> tuple[dict[Term, Price], set[int]]:
    """Return the prices by term, and the numbers of the lines that fit one of them."""
    prices, used = dict(machine.prices), set()
    told = {cast("Term", _term(line, "on_demand")) for _, line in fitting if line.usd_per_hour}
    for term in sorted({*prices, *told}):
        lines = [(n, line) for n, line in fitting if _term(line, term) == term]
        lines = [(n, line) for n, line in lines if line.usd_per_hour or term in prices]
        if lines:
            used |= {n for n, _ in lines}
            _, line = max(lines, key=lambda each: (*_said(each[1]), each[0]))
            prices[term] = _after(line, prices.get(term))
    return prices, used


def _term(line: Discount, otherwise: str) -> str:
    return line.term or ("on_demand" if line.usd_per_hour else otherwise)


def _said(line: Discount) -> tuple[bool, int]:
    return bool(line.usd_per_hour), sum(bool(getattr(line, name)) for name in SPECIFIC)


def _after(line: Discount, price: Price | None) -> Price:
    if price is None or line.usd_per_hour:
        return Price(usd_per_hour=line.usd_per_hour or 0.0, source=line.source)
    left = price.usd_per_hour * (1 - (line.percent or 0.0) / 100)
    return Price(usd_per_hour=left, source=f"{price.source}+{line.source}")


def _together(machines: Iterable[Machine], known: Mapping[str, Source]) -> dict[str, Source]:
    """Return the sources of discounted prices, each of the price and of the sheet."""
    names = {price.source for machine in machines for price in machine.prices.values()}
    made = {}
    for name in sorted(name for name in names if "+" in name and name not in known):
        listed, _, sheet = name.partition("+")
        of = known.get(listed, Source(text=listed))
        text = f"{of.text}; less the discount of {known.get(sheet, Source(text=sheet)).text}"
        made[name] = msgspec.structs.replace(of, text=text)
    return made


def _told(line: Discount) -> str:
    parts = [getattr(line, name) for name in SPECIFIC if getattr(line, name)]
    return " ".join(parts) or "everything"
