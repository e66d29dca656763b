"""What monitoring says: every series with its newest window, and each one over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from afterfit.core.digest import short
from afterfit.errors import NotFoundError
from afterfit.monitor.store.base import PointQuery
from afterfit.records.signals import Scope, SignalPoint
from afterfit.report import number
from afterfit.report.page import Block, Cell
from afterfit.report.parts import key_values, note, table
from afterfit.web.pages.common import nothing
from afterfit.web.pages.plots import (
    Distribution,
    Waits,
    distribution,
    over_time,
    shares,
    state_cell,
    waits,
    waits_plot,
)
from afterfit.web.pages.quality import Ages, Compared, ages_of, ages_plot, compared, compared_plot
from afterfit.web.parts import (
    Link,
    Pages,
    Part,
    Plot,
    View,
    counted,
    link,
    moment,
    pages_of,
    turns_of,
)
from afterfit.web.series import Latest, Thin, latest, newest, thinned
from afterfit.web.site import Seen, Site

SIZE = 50
MOST_PLOTS = 6
MOST_WINDOWS = 200
DISTRIBUTIONS = ("drift", "output")
LATENCY, MEDIAN = "latency", "infer_p50"
NOT_YET = "Nothing is monitored yet: afterfit monitor run NAME@champion"


@dataclass(frozen=True)
class Filter:
    """What is shown; an empty field is all."""

    endpoint: str = ""
    model: str = ""
    version: str = ""
    slice: str = ""
    signal: str = ""

    @property
    def query(self) -> PointQuery:
        """What the store is asked for."""
        return PointQuery(
            endpoint=self.endpoint or None,
            model=self.model or None,
            version=int(self.version) if self.version.isdecimal() else None,
            slice=self.slice or None,
            signal=self.signal or None,
        )

    def as_query(self, **other: object) -> dict[str, object]:
        """Return it as the query of an address."""
        fields = ("endpoint", "model", "version", "slice", "signal")
        return {name: getattr(self, name) for name in fields} | other


@dataclass(frozen=True)
class Charted:
    """One series with its windows and, where its evidence has them, its distributions.

    ``compared`` has both sides of a metric, of which the series is one.
    """

    series: Latest
    unit: str
    windows: Thin
    distribution: Distribution | None = None
    compared: Compared | None = None


@dataclass(frozen=True)
class Signals(View):
    """The newest window of each series, those nearest to an alarm first; plots of the first few.

    ``signals`` counts the series by signal and ``alarms`` those that are alarms now. ``waits`` is
    the heat map of the signal ``latency``.
    """

    monitored: bool
    filter: Filter
    signals: dict[str, int]
    alarms: int
    pages: Pages
    series: tuple[Latest, ...]
    plots: tuple[Charted, ...]
    waits: Waits | None = None

    area: ClassVar[str] = "/signals"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """What is shown."""
        return f"Signals: {self.filter.signal}" if self.filter.signal else "Signals"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        return (
            f"{counted(self.pages, 'series', 'series')}, {number.plural(self.alarms, 'alarm')} now"
        )

    @property
    def choices(self) -> tuple[Link, ...]:
        """All signals, and each kind."""
        kinds = [("", "All", sum(self.signals.values()))]
        kinds += [(name, name, count) for name, count in sorted(self.signals.items())]
        return tuple(
            link(
                f"{text} ({count})",
                "signals",
                tone="info" if name == self.filter.signal else "",
                query=self.filter.as_query(signal=name),
            )
            for name, text, count in kinds
        )

    @property
    def turns(self) -> tuple[Link, ...]:
        """More series."""
        return turns_of(self.pages, ("signals",), self.filter.as_query())

    @property
    def parts(self) -> tuple[Part, ...]:
        """Plots, and the list."""
        if not self.monitored:
            return (Part("none", "Signals", nothing(NOT_YET)),)
        listed = (table(_COLUMNS, [_row(s) for s in self.series], numeric=(4, 5, 6, 7)),)
        parts = (Part("series", "Newest windows", listed if self.series else nothing("None yet.")),)
        plots = tuple(self._plots())
        return (Part("plots", "Over time", plots), *parts) if plots else parts

    def _plots(self) -> Iterator[Plot]:
        if self.waits is not None:
            yield waits_plot("Latency by window", self.waits)
        for each in self.plots:
            title = series_title(each.series)
            yield over_time(title, each.unit, each.windows)
            if each.compared is not None:
                yield compared_plot(f"{each.series.subject}: labels and estimate", each.compared)
            if each.distribution is not None:
                yield shares(f"{title}: distribution", each.distribution)


@dataclass(frozen=True)
class Series(View):
    """One series: its newest window, all its windows, and what its evidence shows."""

    series: Latest
    unit: str
    message: str
    windows: Thin
    distribution: Distribution | None = None
    waits: Waits | None = None
    compared: Compared | None = None
    ages: Ages | None = None

    area: ClassVar[str] = "/signals"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """The signal and its subject."""
        return series_title(self.series)

    @property
    def subtitle(self) -> str:
        """Of which version and slice."""
        return scope_text(self.series.scope)

    @property
    def trail(self) -> tuple[Link, ...]:
        """The signals, and those of this kind."""
        kind = self.series.signal
        return link("Signals", "signals"), link(kind, "signals", query={"signal": kind})

    @property
    def parts(self) -> tuple[Part, ...]:
        """The newest window, then plots."""
        s = self.series
        facts: tuple[Block, ...] = (
            key_values(
                ("State", state_cell(s.state)),
                ("Value", value_text(s, self.unit)),
                ("Usual", number.number(s.usual, "")),
                ("Threshold", number.number(s.threshold, "")),
                ("Observations", s.n),
                ("Window", f"{moment(s.start)} to {moment(s.end)}"),
            ),
        )
        if self.message:
            facts += (note(self.message),)
        plots: list[Plot] = [over_time(self.title, self.unit, self.windows)]
        if self.compared is not None:
            plots.append(compared_plot("Labels and estimate", self.compared))
        if self.ages is not None:
            plots.append(ages_plot(self.ages))
        if self.distribution is not None:
            plots.append(shares("Distribution", self.distribution))
        if self.waits is not None:
            plots.append(waits_plot("Latency by window", self.waits))
        return Part("now", "Newest window", facts), Part("plots", "Over time", tuple(plots))


def signals(site: Site, chosen: Filter, page: int = 1) -> Signals:
    """Return the page of signals; its plots are those of one signal where one was chosen."""
    store = site.monitor
    if store is None:
        return Signals(False, chosen, {}, 0, pages_of(0, SIZE, 1), (), ())
    everything = latest(store, Filter(**{**chosen.as_query(), "signal": ""}).query)  # type: ignore[arg-type]
    counts: dict[str, int] = {}
    for one in everything:
        counts[one.signal] = counts.get(one.signal, 0) + 1
    found = [one for one in everything if chosen.signal in ("", one.signal)]
    pages = pages_of(len(found), SIZE, page)
    shown = found[(pages.page - 1) * SIZE : pages.page * SIZE]
    charted = shown[:MOST_PLOTS] if chosen.signal else []
    heat = next((one for one in shown if one.signal == LATENCY and one.subject == MEDIAN), None)
    return Signals(
        monitored=True,
        filter=chosen,
        signals=counts,
        alarms=sum(one.state == "alarm" for one in found),
        pages=pages,
        series=tuple(shown),
        plots=tuple(_charted(store, one) for one in charted),
        waits=None if heat is None or not chosen.signal else _waits(store, heat),
    )


def series(site: Site, chosen: Filter, subject: str) -> Series:
    """Return the page of one series; raises NotFoundError."""
    store = site.monitor
    found = [] if store is None else latest(store, _of(chosen, subject))
    found = [one for one in found if one.subject == subject]
    if store is None or not found:
        raise NotFoundError("there is no such series", fix="see those that there are: /signals")
    one = found[0]
    charted = _charted(store, one)
    query = query_of(one)
    last = newest(store, query)
    heat = _waits(store, one) if one.signal == LATENCY else None
    message = last.message if last else ""
    return Series(
        one,
        charted.unit,
        message,
        charted.windows,
        charted.distribution,
        heat,
        charted.compared,
        ages_of(last) if one.signal == "labels" else None,
    )


def query_of(one: Latest) -> PointQuery:
    """Return the query of exactly one series."""
    scope = one.scope
    return PointQuery(
        endpoint=scope.endpoint,
        model=scope.model,
        version=scope.version,
        slice=scope.slice,
        signal=one.signal,
        subject=one.subject,
    )


def told_of(store: Seen, query: PointQuery) -> SignalPoint | None:
    """Return the newest window of a series with evidence: quiet ones keep it for some time only."""
    last = newest(store, query)
    if last is not None and last.evidence:
        return last
    return newest(store, PointQuery(**query.equal, state="alarm"))  # type: ignore[arg-type]


def series_title(one: Latest) -> str:
    """Return what a series is called."""
    return f"{one.signal}: {one.subject}" if one.subject else one.signal


def scope_text(scope: Scope) -> str:
    """Return of what something is said."""
    version = f"version {scope.version}" if scope.version else short(scope.digest)
    parts = [scope.model, version, scope.endpoint and f"at {scope.endpoint}", scope.slice]
    return ", ".join(part for part in parts if part)


def value_text(one: Latest, unit: str = "") -> str:
    """Return a value with its unit and bounds."""
    text = number.number(one.value, unit)
    if one.value is None or one.low is None or one.high is None:
        return text
    return f"{text} [{number.plain(one.low)}, {number.plain(one.high)}]"


def series_link(one: Latest) -> Cell:
    """Return the name of a series, which leads to its page."""
    scope = one.scope
    query: dict[str, object] = {
        "endpoint": scope.endpoint,
        "model": scope.model,
        "version": scope.version or "",
        "slice": scope.slice,
        "signal": one.signal,
        "subject": one.subject,
    }
    return link(one.subject or "all", "signals", "series", code=bool(one.subject), query=query)


_COLUMNS = ("State", "Signal", "Of", "Scope", "Value", "Usual", "Threshold", "n", "Window")


def _row(one: Latest) -> list[object]:
    return [
        state_cell(one.state),
        one.signal,
        series_link(one),
        scope_text(one.scope) or None,
        value_text(one),
        one.usual,
        one.threshold,
        one.n,
        moment(one.end),
    ]


def _of(chosen: Filter, subject: str) -> PointQuery:
    return PointQuery(**chosen.query.equal, subject=subject)  # type: ignore[arg-type]


def _charted(store: Seen, one: Latest) -> Charted:
    query = query_of(one)
    last = newest(store, query)
    shown = distribution(told_of(store, query)) if one.signal in DISTRIBUTIONS else None
    return Charted(
        one,
        last.unit if last else "",
        thinned(store.series(query)),
        shown,
        compared(store, query),
    )


def _waits(store: Seen, one: Latest) -> Waits | None:
    return waits(store.points(query_of(one), limit=MOST_WINDOWS))
