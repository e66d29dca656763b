"""A trace from a table: times with rates, or the moments of requests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from afterfit.core.trace import Trace, on_steps, step_for
from afterfit.errors import InputError
from afterfit.loadtest.autoscale.queueing import Floats
from afterfit.store.tables import check_rows, read_frame

TIMES = ("time", "timestamp", "ts", "date", "datetime", "moment", "t")
RATES = ("rate", "rps", "requests_per_s", "requests_per_second", "qps", "value")
GAP = 3.0
"""Rates further apart than so many times the usual distance have a gap between them."""
MOST_DAYS = 62


def read_trace(path: Path) -> Trace:
    """Return the trace of a CSV, Parquet or Arrow file; times are ISO 8601 or seconds.

    With a column of rates (``rate``, ``rps``, ``qps`` or the second of two columns) each rate, in
    requests/s, holds until the next time. With times alone each row is one request. Raises
    InputError for what is empty, not in order, negative, or has gaps.
    """
    where = str(path)
    frame = read_frame(path)
    check_rows(frame, where)
    time, rate = _columns(list(frame), where)
    seconds, start = _seconds(frame[time], time, where)
    if rate is None:
        return _of_requests(path.stem, seconds, start, where)
    rates = _rates(frame[rate], rate, where)
    _check_order(seconds, where, strictly=True)
    spacing = _spacing(seconds, where)
    total = _bounded(float(seconds[-1]) + spacing, where)
    step = step_for(total)
    made = on_steps(seconds, rates, total, step)
    if not made.max() > 0:
        raise InputError(
            "every rate of the trace is 0", where=f"{where}, column {rate!r}",
            fix="give a trace with requests",
        )  # fmt: skip
    return Trace(path.stem, made, step, start, spacing_s=spacing)


def _columns(names: list[str], where: str) -> tuple[str, str | None]:
    lower = {name.lower(): name for name in names}
    time = next((lower[name] for name in TIMES if name in lower), None)
    rate = next((lower[name] for name in RATES if name in lower), None)
    if time is None and rate is None and len(names) <= 2:
        return names[0], names[1] if len(names) == 2 else None
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


def _seconds(values: np.ndarray, name: str, where: str) -> tuple[Floats, datetime | None]:
    """Return the times in s since the first, and the first where they have dates."""
    place = f"{where}, column {name!r}"
    if values.dtype.kind in "fiu":
        seconds = values.astype(np.float64)
        # So large a number is no time in s of this century: it counts ms.
        seconds = seconds / 1e3 if len(seconds) and 1e11 <= seconds[0] < 1e14 else seconds
        start = None
        if len(seconds) and 1e9 <= seconds[0] < 1e11:
            start = datetime.fromtimestamp(float(seconds[0]), UTC)
    else:
        try:
            moments = np.array([_utc(each) for each in values], "datetime64[us]")
        except (ValueError, TypeError) as error:
            raise InputError(
                "a time of the trace cannot be read", where=place, why=str(error),
                fix="write times as 2026-11-27T08:00:00, or as seconds",
            ) from None  # fmt: skip
        bad = np.isnat(moments)
        seconds = np.where(bad, np.nan, moments.astype(np.int64) / 1e6)
        start = None if not len(moments) or bad[0] else _moment(moments[0])
    if not np.isfinite(seconds).all():
        row = int(np.flatnonzero(~np.isfinite(seconds))[0]) + 1
        raise InputError(
            "a time of the trace is missing", where=f"{place}, row {row}",
            fix="remove the row, or give its time",
        )  # fmt: skip
    return seconds - seconds[0], start


def _utc(value: object) -> datetime | None:
    """Return a moment of ISO 8601 without its zone, in UTC; None for a missing one."""
    if value is None:
        return None
    found = datetime.fromisoformat(str(value))
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _moment(value: np.datetime64) -> datetime:
    return datetime.fromtimestamp(value.astype(np.int64) / 1e6, UTC)


def _rates(values: np.ndarray, name: str, where: str) -> Floats:
    place = f"{where}, column {name!r}"
    if values.dtype.kind not in "fiu":
        raise InputError(
            "the rates of the trace are no numbers", where=place,
            fix="give requests/s as numbers",
        )  # fmt: skip
    rates = values.astype(np.float64)
    for wrong, what in ((~np.isfinite(rates), "missing"), (rates < 0, "negative")):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"a rate of the trace is {what}", where=f"{place}, row {row + 1}",
                why=f"it is {rates[row]:g}" if what == "negative" else "",
                fix="give requests/s, 0 where there were none",
            )  # fmt: skip
    return rates


def _check_order(seconds: Floats, where: str, *, strictly: bool) -> None:
    steps = np.diff(seconds)
    wrong = steps <= 0 if strictly else steps < 0
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 2
        same = strictly and steps[row - 2] == 0
        raise InputError(
            "a time of the trace stands twice" if same else "the times of the trace go back",
            where=f"{where}, row {row}",
            why=f"{seconds[row - 1]:g} s after the first, the row before {seconds[row - 2]:g} s",
            fix="sort the rows by time, one row a time",
        )


def _spacing(seconds: Floats, where: str) -> float:
    """Return the usual distance of the rates in s; raises InputError for a gap."""
    if len(seconds) < 2:
        raise InputError(
            "one row is no trace", where=where, fix="give the rates of at least two times"
        )
    steps = np.diff(seconds)
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


def _bounded(seconds: float, where: str) -> float:
    if seconds > MOST_DAYS * 86400:
        raise InputError(
            "the trace is too long",
            where=where,
            why=f"it covers {seconds / 86400:.0f} days; at most {MOST_DAYS} are simulated",
            fix="give the weeks with the highest peak",
        )
    return seconds


def _of_requests(name: str, seconds: Floats, start: datetime | None, where: str) -> Trace:
    _check_order(seconds, where, strictly=False)
    if len(seconds) < 2 or seconds[-1] < 10:
        raise InputError(
            "the trace is too short",
            where=where,
            why=f"{len(seconds)} requests in {float(seconds[-1]):.3g} s",
            fix="give the requests of at least 10 s, or times with rates",
        )
    total = _bounded(float(seconds[-1]), where)
    step = step_for(total)
    # What is left of a second at the end would be a step of a few requests.
    steps = max(1, int(total / step))
    counts = np.bincount((seconds[seconds < steps * step] / step).astype(int), minlength=steps)
    return Trace(name, counts / step, step, start, counted=True)
