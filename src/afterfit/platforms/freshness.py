"""How old the numbers of the catalog are, and when to say so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from afterfit.platforms.shapes import Source

__all__ = ["STALE_DAYS", "Age", "age_days", "ages", "day_of", "warning"]

STALE_DAYS = 90
"""Prices that are older are told as stale. Spot prices are old within hours, whatever this says."""

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True, kw_only=True)
class Age:
    """A source with its age in days, None where its date is not known."""

    name: str
    source: Source
    days: int | None

    @property
    def stale(self) -> bool:
        """Whether it is older than `STALE_DAYS`, or as old as nobody knows."""
        return self.days is None or self.days > STALE_DAYS


def day_of(text: str) -> date:
    """The first day that a date may mean: ``2026-07`` is the first of July.

    Raises ValueError for what is no date.
    """
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no date like 2026-07-30, 2026-07 or 2026")
    year, month, day = match.groups()
    return date(int(year), int(month or 1), int(day or 1))


def age_days(source: Source, today: date) -> int | None:
    """The age of a source in days, at most (a month is taken from its first day); None unknown."""
    return max(0, (today - day_of(source.date)).days) if source.date else None


def ages(sources: Mapping[str, Source], used: Iterable[str], today: date) -> tuple[Age, ...]:
    """The sources of these names, the oldest first and those without a date at the end."""
    found = [
        Age(name=name, source=sources[name], days=age_days(sources[name], today))
        for name in dict.fromkeys(used)
        if name in sources
    ]
    return tuple(sorted(found, key=lambda age: (age.days is None, -(age.days or 0), age.name)))


def warning(sources: Mapping[str, Source], used: Iterable[str], today: date) -> str:
    """What to say of old prices among those used; empty where none is old.

    >>> old = {"list": Source(text="a price list", date="2026-01-31")}
    >>> warning(old, ["list"], date(2026, 11, 27))
    'prices are up to 300 days old (list of 2026-01-31); import price lists of today'
    """
    stale = [age for age in ages(sources, used, today) if age.stale]
    if not stale:
        return ""
    dated = [age for age in stale if age.days is not None]
    named = [f"{age.name} of {age.source.date}" for age in dated]
    named += [f"{age.name}, undated" for age in stale if age.days is None]
    head = f"up to {dated[0].days} days old" if dated else "of unknown age"
    return f"prices are {head} ({'; '.join(named)}); import price lists of today"
