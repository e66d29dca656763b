"""Windows of live counts: whole hours, of which a period may touch a part only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afterfit.monitor.log import iso, moment
from afterfit.runtime.counts import Window

MICROSECONDS = 1_000_000


def within(windows: Iterable[Window], since: str, until: str) -> list[Window]:
    """Return the windows that touch the period (ISO 8601, ``until`` excluded); empty is open.

    A count cannot be divided, so a window that begins before the period or ends after it is taken
    whole: ``span`` says from when to when.
    """
    first = moment(since) if since else 0
    last = moment(until) if until else 2**63
    return [
        window
        for window in windows
        if window.start * MICROSECONDS < last
        and (window.start + window.seconds) * MICROSECONDS > first
    ]


def span(windows: Sequence[Window]) -> tuple[str, str] | None:
    """Return when the first window begins and the last one ends; None without any."""
    if not windows:
        return None
    begins = min(window.start for window in windows)
    ends = max(window.start + window.seconds for window in windows)
    return iso(begins * MICROSECONDS), iso(ends * MICROSECONDS)
