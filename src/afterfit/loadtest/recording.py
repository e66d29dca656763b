"""Recorded traffic from a table: the moments of requests, or rates over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from afterfit.errors import InputError
from afterfit.store.tables import check_rows, read_frame

__all__ = ["Recording", "read_recording", "recording_of"]

TIMES = ("time", "timestamp", "ts", "date", "datetime", "moment", "t")
RATES = ("rate", "rps", "requests_per_s", "requests_per_second", "qps", "value")
GAP = 3.0
"""Rates further apart than so many times the usual distance have a gap between them."""

Floats = npt.NDArray[np.float64]
Column = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Recording:
    """Moments (s from the first on, ascending), each of a request, or each with its rate.

    A rate (requests/s) holds until the next moment, the last for ``spacing_s``, their usual
    distance. ``start`` is the first moment where it has a date, and ``source`` where it stood.
    """

    source: str
    moments: Floats
    rates: Floats | None = None
    start: datetime | None = None
    spacing_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Return from the first moment to the last; of rates, until the last ends to hold."""
        return float(self.moments[-1]) + self.spacing_s


def read_recording(path: Path) -> Recording:
    """Return the traffic in a CSV, Parquet or Arrow file; times are ISO 8601, or s, or ms.

    With a column of rates (``rate``, ``rps``, ``qps`` or the second of two columns) they are
    requests/s. With times alone each row is one request. Raises NotFoundError, or InputError that
    names the row for what is empty, not in order or negative, and for rates with gaps.
    """
    return recording_of(read_frame(path), str(path))


def recording_of(frame: Mapping[str, Column], where: str) -> Recording:
    """Return the traffic in columns of a table; see `read_recording`."""
    check_rows(frame, where)
    time, rate = _columns(list(frame), where)
    moments, start = _moments(np.asarray(frame[time]), time, where)
    if rate is None:
        _check_order(moments, where, strictly=False)
        return Recording(where, moments, start=start)
    rates = _rates(np.asarray(frame[rate]), rate, where)
    _check_order(moments, where, strictly=True)
    return Recording(where, moments, rates, start, _spacing(moments, where))


def _columns(names: list[str], where: str) -> tuple[str, str | None]:
    lower = {name.lower(): name for name in names}
    time = next((lower[name] for name in TIMES if name in lower), None)
    rate = next((lower[name] for name in RATES if name in lower), None)
    if time is None and len(names) == 1 + (rate is not None):
        time = next(name for name in names if name != rate)
    if time is None and rate is None and len(names) == 2:
        return names[0], names[1]
    if time is None:
        raise InputError(
            "the trace has no column of times",
            where=where,
            why=f"its columns are {', '.join(names)}",
            fix="name it time, and the requests/s rate",
        )
    if rate is None and len(names) == 2:
        rate = next(name for name in names if name != time)
    return time, rate


def _moments(values: Column, name: str, where: str) -> tuple[Floats, datetime | None]:
    """Return the times in s since the first, and the first where they have dates."""
    place = f"{where}, column {name!r}"
    if values.dtype.kind in "fiu":
        seconds = values.astype(np.float64)
        # So large a number is no time in s of this century: it counts ms.
        seconds = seconds / 1e3 if 1e11 <= seconds[0] < 1e14 else seconds
        _check_whole(~np.isfinite(seconds), place)
        if (seconds < 0).any():
            raise InputError(
                "a time of the trace is negative",
                where=f"{place}, row {int(np.argmax(seconds < 0)) + 1}",
                fix="give seconds since the beginning, or since 1970",
            )
        dated = 1e9 <= seconds[0] < 1e11
        return seconds - seconds[0], datetime.fromtimestamp(seconds[0], UTC) if dated else None
    moments = values.astype("datetime64[us]") if values.dtype.kind == "M" else _read(values, place)
    _check_whole(np.isnat(moments), place)
    micros = moments.astype(np.int64)
    start = datetime.fromtimestamp(int(micros[0]) / 1e6, UTC)
    return (micros - micros[0]) / 1e6, start


def _read(values: Column, place: str) -> npt.NDArray[np.datetime64]:
    """Return moments of ISO 8601 in UTC; NaT for a missing one."""
    found = np.full(len(values), np.datetime64("NaT"), "datetime64[us]")
    for row, value in enumerate(values.tolist()):
        if value is None:
            continue
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise InputError(
                "a time of the trace cannot be read",
                where=f"{place}, row {row + 1}",
                why=f"it is {str(value)[:40]!r}",
                fix="write times as 2026-11-27T08:00:00, or as seconds",
            ) from None
        found[row] = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return found


def _check_whole(missing: npt.NDArray[np.bool_], place: str) -> None:
    if missing.any():
        raise InputError(
            "a time of the trace is missing",
            where=f"{place}, row {int(np.argmax(missing)) + 1}",
            fix="remove the row, or give its time",
        )


def _rates(values: Column, name: str, where: str) -> Floats:
    place = f"{where}, column {name!r}"
    if values.dtype.kind not in "fiu":
        raise InputError(
            "the rates of the trace are no numbers", where=place, fix="give requests/s as numbers"
        )
    rates = values.astype(np.float64)
    for wrong, what in ((~np.isfinite(rates), "missing"), (rates < 0, "negative")):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"a rate of the trace is {what}",
                where=f"{place}, row {row + 1}",
                why=f"it is {rates[row]:g}" if what == "negative" else "",
                fix="give requests/s, 0 where there were none",
            )
    if not rates.max() > 0:
        raise InputError(
            "every rate of the trace is 0", where=place, fix="give a trace with requests"
        )
    return rates


def _check_order(moments: Floats, where: str, *, strictly: bool) -> None:
    steps = np.diff(moments)
    wrong = steps <= 0 if strictly else steps < 0
    if wrong.any():
        row = int(np.argmax(wrong)) + 2
        same = strictly and steps[row - 2] == 0
        raise InputError(
            "a time of the trace stands twice" if same else "the times of the trace go back",
            where=f"{where}, row {row}",
            why=f"{moments[row - 1]:g} s after the first, the row before {moments[row - 2]:g} s",
            fix="sort the rows by time" + (", one row a time" if strictly else ""),
        )


def _spacing(moments: Floats, where: str) -> float:
    """Return the usual distance of the rates in s; raises InputError for a gap."""
    if len(moments) < 2:
        raise InputError(
            "one row is no trace", where=where, fix="give the rates of at least two times"
        )
    steps = np.diff(moments)
    usual = float(np.median(steps))
    if steps.max() > GAP * usual:
        row = int(np.argmax(steps)) + 2
        raise InputError(
            "the trace has a gap",
            where=f"{where}, row {row}",
            why=f"it is {steps[row - 2]:g} s after the row before, others {usual:g} s",
            fix="give the rates in between, 0 where there were no requests",
        )
    return usual
