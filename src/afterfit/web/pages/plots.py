"""Plots of monitoring: a signal over windows, two distributions, latencies by window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from afterfit.core.metric import in_percent
from afterfit.records.signals import SignalPoint
from afterfit.report import number
from afterfit.report.page import Cell, Tone
from afterfit.report.parts import table
from afterfit.web.draw import Heat, OverTime, Shares
from afterfit.web.parts import Plot, moment
from afterfit.web.series import Thin

__all__ = [
    "Distribution",
    "Waits",
    "distribution",
    "over_time",
    "shares",
    "state_cell",
    "waits",
    "waits_plot",
]

MOST_LABELS = 12
MOST_ROWS = 40
STATE_TONES: dict[str, Tone] = {
    "alarm": "bad",
    "ok": "good",
    "insufficient": "muted",
    "cannot_tell": "warn",
    "not_applicable": "muted",
}
STATE_WORDS = {
    "insufficient": "too few rows",
    "cannot_tell": "cannot tell",
    "not_applicable": "does not apply",
}


@dataclass(frozen=True)
class Distribution:
    """Shares of rows by bin, of the reference (``before``) and of a window (``after``).

    Bins lie between inner ``edges``, the outermost open, or have ``labels``.
    """

    start: int
    end: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waits:
    """Requests by window and by latency bin: ``edges`` in ms, one more than each has counts."""

    starts: tuple[int, ...]
    end: int
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


def state_cell(state: str) -> Cell:
    """Return the state of a point in words."""
    return Cell(STATE_WORDS.get(state, state), STATE_TONES.get(state, "muted"))


def over_time(title: str, unit: str, series: Thin, level: float = 0.95) -> Plot:
    """Return the plot of one series with its interval, threshold and alarms."""
    middles = tuple((a + b) / 2 for a, b in zip(series.start, series.end, strict=True))
    drawing = OverTime(
        at=middles,
        value=series.value,
        low=series.low,
        high=series.high,
        threshold=series.threshold,
        usual=series.usual,
        alarm=tuple(state == "alarm" for state in series.state),
        y_title=unit,
    )
    told = f"{number.plural(series.windows, 'window')}"
    if series.of > 1:
        told += f", each point the most telling of {series.of}"
    if any(low is not None for low in series.low):
        told += f"; the band is a {100 * level:g} % interval"
    said = number.plural(sum(drawing.alarm), "alarm")
    columns = ("Window", "State", "Value", "Low", "High", "Usual", "Threshold", "n")
    rows = [
        [moment(series.start[i]), state_cell(series.state[i]), series.value[i], series.low[i],
         series.high[i], series.usual[i], series.threshold[i], series.n[i]]
        for i in range(len(series.start) - 1, max(-1, len(series.start) - 1 - MOST_ROWS), -1)
    ]  # fmt: skip
    left = len(series.start) - len(rows)
    note = f"{number.plural(left, 'earlier point')} in the JSON of this page." if left else ""
    return Plot(
        title, f"{told}; {said}.", drawing, table(columns, rows, numeric=range(2, 8), note=note)
    )


def distribution(point: SignalPoint | None) -> Distribution | None:
    """Return the distributions that the evidence of a point holds, None where it holds none."""
    if point is None:
        return None
    told = point.evidence
    before, after = _shares(told.get("before")), _shares(told.get("after"))
    edges, labels = told.get("edges") or (), told.get("categories") or ()
    bins = len(labels) if labels else len(edges) + 1
    if not before or len(before) != bins or len(after) != bins:
        return None
    if labels:
        before, after, labels = _commonest(before, after, [str(label) for label in labels])
    return Distribution(
        point.start, point.end, before, after, tuple(map(float, edges)), tuple(labels)
    )


def shares(title: str, found: Distribution) -> Plot:
    """Return the plot of two distributions, one above the other."""
    drawing = Shares(found.before, found.after, found.edges, found.labels)
    rows = [
        [name, in_percent(a, 1), in_percent(b, 1)]
        for name, a, b in zip(_names(found), found.before, found.after, strict=True)
    ]
    return Plot(
        title,
        f"The window from {moment(found.start)} beside the reference, as shares of rows.",
        drawing,
        table(("Bin", "Reference", "Window"), rows, numeric=(1, 2)),
    )


def waits(points: Iterable[SignalPoint]) -> Waits | None:
    """Return the latencies of windows, on all the bin edges that their evidence has."""
    found: list[tuple[SignalPoint, list[float], list[int]]] = []
    for point in points:
        edges, counts = point.evidence.get("edges_ms"), point.evidence.get("counts")
        if edges and counts and len(counts) == len(edges) - 1:
            found.append((point, [float(e) for e in edges], [int(c) for c in counts]))
    if not found:
        return None
    whole = sorted({edge for _, edges, _ in found for edge in edges})
    rows = []
    for _, edges, counts in found:
        at = dict(zip(edges, counts, strict=False))
        rows.append(tuple(at.get(edge, 0) for edge in whole[:-1]))
    starts = tuple(point.start for point, _, _ in found)
    return Waits(starts, found[-1][0].end, tuple(whole), tuple(rows))


def waits_plot(title: str, found: Waits) -> Plot:
    """Return the heat map of latencies over windows."""
    totals = [sum(counts) for counts in found.counts]
    drawing = Heat(
        tuple(map(float, found.starts)), float(found.end), found.edges, found.counts, "ms"
    )
    rows = [
        [
            moment(start),
            total,
            _within(counts, found.edges, 0.5),
            _within(counts, found.edges, 0.99),
        ]
        for start, total, counts in list(zip(found.starts, totals, found.counts, strict=True))[
            -MOST_ROWS:
        ]
    ]
    return Plot(
        title,
        f"{number.plural(sum(totals), 'request')} in {number.plural(len(totals), 'window')}; "
        "the darker, the more of a window's requests.",
        drawing,
        table(
            ("Window", "Requests", "Half within, ms", "99 % within, ms"), rows, numeric=(1, 2, 3)
        ),
    )


def _within(counts: Sequence[int], edges: Sequence[float], share: float) -> float | None:
    """Return the upper edge of the bin in which a quantile lies, in ms."""
    total = sum(counts)
    left = share * total
    for place, count in enumerate(counts):
        left -= count
        if total and left <= 0:
            return float(edges[place + 1])
    return None


def _shares(values: object) -> tuple[float, ...]:
    return tuple(float(v) for v in values) if isinstance(values, list | tuple) else ()


def _commonest(
    before: tuple[float, ...], after: tuple[float, ...], labels: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...], list[str]]:
    """Return the labels with most rows, all others as one."""
    if len(labels) <= MOST_LABELS:
        return before, after, labels
    order = sorted(range(len(labels)), key=lambda i: -max(before[i], after[i]))
    kept, rest = order[: MOST_LABELS - 1], order[MOST_LABELS - 1 :]
    pair = [
        (*(part[i] for i in kept), math.fsum(part[i] for i in rest)) for part in (before, after)
    ]
    return pair[0], pair[1], [*(labels[i] for i in kept), f"{len(rest)} others"]


def _names(found: Distribution) -> list[str]:
    if found.labels:
        return list(found.labels)
    words = [f"{edge:.4g}" for edge in found.edges]
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(words)]
    return [f"below {words[0]}", *inner, f"{words[-1]} or more"] if words else ["all"]
