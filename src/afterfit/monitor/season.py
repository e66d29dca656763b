"""References by season: what is usual at this hour of the week, of the day, or on this weekday."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame, row_count
from afterfit.errors import InputError

__all__ = ["Grain", "Seasons", "seasons_of"]

Grain = Literal["hour_of_week", "hour_of_day", "weekday", "all"]
HOUR_US = 3_600_000_000
_DAY, _WEEK = 24, 168
_MONDAY = 72
"""Hours from a Monday's midnight to the one of 1970-01-01, a Thursday (UTC)."""


@dataclass(frozen=True)
class Seasons:
    """The reference's rows by season, on the bins of the whole, which stands in for a gap.

    These are counts of few rows: they stay in the workspace, never in a bundle.
    """

    grain: Grain
    whole: Fingerprint
    parts: Mapping[int, Fingerprint] = field(default_factory=dict)

    def reference_of(self, start: int, end: int) -> Fingerprint:
        """Return what is usual from ``start`` to ``end`` (µs, UTC, end excluded).

        It is the sum of the seasons that the window touches, or the whole where one of them is not
        known. Each weighs as many rows as it has.
        """
        first, last = start // HOUR_US, max(start, end - 1) // HOUR_US
        hours = np.arange(first, min(last, first + _WEEK - 1) + 1, dtype=np.int64) * HOUR_US
        places = set(_places(hours, self.grain).tolist())
        if self.grain == "all" or not places <= self.parts.keys():
            return self.whole
        found = self.whole.blank()
        for place in sorted(places):
            found.merge(self.parts[place])
        return found


def seasons_of(
    whole: Fingerprint,
    frame: Frame,
    ts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64] | None = None,
    *,
    least: int = 1000,
) -> Seasons:
    """Return the finest seasons of which each has ``least`` rows or more, else none.

    ``ts`` int64 of [n] are the rows' times, µs since 1970 in UTC. Raises InputError where there is
    not one a row.
    """
    if len(ts) != row_count(frame):
        raise InputError("there is not one time a row", fix="give the time of each reference row")
    for grain in get_args(Grain)[:-1]:
        places = _places(ts, grain)
        found, counts = np.unique(places, return_counts=True)
        if len(found) > 1 and counts.min() >= least:
            return Seasons(grain, whole, _parts(whole, frame, scores, places))
    return Seasons("all", whole)


def _parts(
    whole: Fingerprint,
    frame: Frame,
    scores: npt.NDArray[np.float64] | None,
    places: npt.NDArray[np.int64],
) -> dict[int, Fingerprint]:
    found = {}
    for place in np.unique(places).tolist():
        rows = np.flatnonzero(places == place)
        part = whole.blank()
        kept = {column.name: frame[column.name][rows] for column in whole.columns}
        part.update(kept, None if scores is None else scores[rows])
        found[int(place)] = part
    return found


def _places(ts: npt.NDArray[np.int64], grain: Grain) -> npt.NDArray[np.int64]:
    """Return the number of each time's season; hours and weekdays of UTC, from Monday."""
    hour = (ts // HOUR_US + _MONDAY) % _WEEK
    if grain == "hour_of_day":
        hour = hour % _DAY
    elif grain == "weekday":
        hour = hour // _DAY
    return np.asarray(hour if grain != "all" else np.zeros_like(hour))
