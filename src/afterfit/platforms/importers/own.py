"""One's own sheet of discounts and prices, as CSV or TOML: what was negotiated and is on no list.

CSV: the columns ``provider``, ``region``, ``machine`` (also ``family`` or ``service``), ``term``,
``percent``, ``usd_per_hour`` and ``until``, those that are needed. TOML: tables ``[[discount]]``
with the same keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, get_args

from afterfit.errors import InputError
from afterfit.platforms.importers.base import (
    MOST_USD_PER_HOUR,
    Discount,
    Gathering,
    Head,
    Imported,
    PriceFile,
    number_of,
)
from afterfit.platforms.importers.stream import csv_rows, opened_text
from afterfit.platforms.shapes import Term

__all__ = ["Format"]

PATTERNS = ("machine", "family", "service")
KEYS = {"provider", "region", *PATTERNS, "term", "percent", "usd_per_hour", "until"}


class Format:
    """A line says of whom (provider, region, machine, term), how much, and until when."""

    title = "own sheet"

    def sniff(self, head: Head) -> bool:
        """Return whether it is a table of discounts."""
        amount = head.columns("percent") or head.columns("usd_per_hour")
        return "[[discount]]" in head.text or amount

    def read(self, file: PriceFile) -> Imported:
        """Return the discounts; raises InputError for a line that cannot be meant.

        A price list has odd rows that nobody can mend; a sheet of one's own is wrong as a whole
        where one line is.
        """
        gathered = Gathering("own", file, self.title)
        lines = _toml(file) if file.path.suffix.lower() == ".toml" else _csv(file)
        for where, line in lines:
            gathered.discounts.append(_discount(line, where, gathered.source))
        return gathered.done()


def _csv(file: PriceFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, row in enumerate(csv_rows(file.path), 2):
        where = f"{file.path}, row {number}"
        if "" in row:
            raise InputError("a row with more or fewer cells than the header", where=where,
                             fix="write a comma for each empty cell")  # fmt: skip
        yield where, {k.strip().lower(): v.strip() for k, v in row.items() if v and v.strip()}


def _toml(file: PriceFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with opened_text(file.path) as stream:
        text = stream.read()
    try:
        tables = tomllib.loads(text).get("discount", [])
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file.path.name} is no TOML", where=file.where, why=str(error),
                         fix="write tables [[discount]]") from None  # fmt: skip
    for number, table in enumerate(tables if isinstance(tables, list) else [tables], 1):
        if not isinstance(table, dict):
            raise InputError("a discount is a table", where=file.where, fix="[[discount]]")
        yield f"{file.path}, discount {number}", table


def _discount(line: Mapping[str, Any], where: str, source: str) -> Discount:
    _check_keys(line, where)
    percent, price = line.get("percent"), line.get("usd_per_hour")
    if (percent is None) == (price is None):
        raise InputError("a line has either percent or usd_per_hour", where=where,
                         fix="percent = 12 for 12 % off, or usd_per_hour = 0.071")  # fmt: skip
    machine = next((str(line[name]) for name in PATTERNS if line.get(name)), "")
    if price is not None and not machine:
        raise InputError("a price is one of a machine", where=where,
                         fix='machine = "m7i.large"')  # fmt: skip
    return Discount(
        provider=str(line.get("provider", "")).lower(),
        region=str(line.get("region", "")),
        machine=machine,
        term=_term(str(line.get("term", "")), where),
        percent=None if percent is None else _amount(percent, "percent", 100, where),
        usd_per_hour=None if price is None else
        _amount(price, "usd_per_hour", MOST_USD_PER_HOUR, where),
        until=_until(line.get("until", ""), where),
        source=source,
    )  # fmt: skip


def _check_keys(line: Mapping[str, Any], where: str) -> None:
    if unknown := sorted(set(line) - KEYS):
        raise InputError(f"not known in a sheet: {', '.join(unknown)}", where=where,
                         why=f"the columns are {', '.join(sorted(KEYS))}",
                         fix="rename or remove it")  # fmt: skip


def _amount(value: object, name: str, most: float, where: str) -> float:
    if "," in str(value):
        raise InputError(f"{name} is {value!r}", where=where, why="a comma may mean two things",
                         fix=f"write {str(value).replace(',', '.')}")  # fmt: skip
    number = number_of(value, "%" if name == "percent" else "")
    if number is None or number >= most:
        raise InputError(f"{name} is {value!r}", where=where,
                         why=f"it is a number above 0 and below {most:g}",
                         fix=f"{name} = {'12' if name == 'percent' else '0.071'}")  # fmt: skip
    return number


def _term(text: str, where: str) -> str:
    term = text.strip().lower().replace(" ", "_").replace("-", "_")
    if term and term not in get_args(Term):
        raise InputError(f"no term is called {text!r}", where=where,
                         why=f"there are {', '.join(get_args(Term))}",
                         fix="term = on_demand, or leave it out for all")  # fmt: skip
    return term


def _until(value: object, where: str) -> str:
    try:
        return date.fromisoformat(str(value)).isoformat() if value else ""
    except ValueError:
        raise InputError(f"not a date: {value!r}", where=where, fix="until = 2027-03-31") from None
