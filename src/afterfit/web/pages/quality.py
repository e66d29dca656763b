"""Quality on the dashboard: what labels show beside the estimate, and how labels come in."""

from __future__ import annotations

from dataclasses import dataclass

from afterfit.core.metric import in_percent
from afterfit.monitor.store.base import PointQuery
from afterfit.records.signals import SignalPoint
from afterfit.report import number
from afterfit.report.parts import table
from afterfit.web.draw import Curve, Numbers, Other, OverTime
from afterfit.web.pages.plots import state_cell
from afterfit.web.parts import Plot, moment
from afterfit.web.site import Seen

__all__ = ["Ages", "Compared", "ages_of", "ages_plot", "compared", "compared_plot"]

MOST_WINDOWS = 200
MOST_ROWS = 40
HOUR = 3_600_000_000
BOTH = ("performance", "estimate")


@dataclass(frozen=True)
class Told:
    """What one of the two says of windows: its numbers, None where it has none."""

    value: Numbers
    low: Numbers
    high: Numbers
    n: tuple[int, ...]
    state: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """A metric over windows (µs): from labels, and estimated without them.

    ``labelled`` is the share of a window's predictions with a label, ``maturity`` the share of its
    labels-to-come that have come; None where that is not known.
    """

    unit: str
    start: tuple[int, ...]
    end: tuple[int, ...]
    realized: Told
    estimated: Told
    labelled: Numbers
    maturity: Numbers
    usual: Numbers


@dataclass(frozen=True)
class Ages:
    """The share of predictions with a label by age, of ``n`` that have reached it each."""

    hours: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...]


def compared(store: Seen, query: PointQuery) -> Compared | None:
    """Return both sides of a metric of one version, newest windows; None where one is unknown."""
    if query.signal not in BOTH:
        return None
    sides = []
    for signal in BOTH:
        asked = PointQuery(**(query.equal | {"signal": signal}))  # type: ignore[arg-type]
        found = store.points(asked, limit=MOST_WINDOWS)
        sides.append({point.start: point for point in found})
    if not all(any(p.value is not None for p in side.values()) for side in sides):
        return None
    starts = sorted({*sides[0], *sides[1]})[-MOST_WINDOWS:]
    either = [sides[0].get(start) or sides[1][start] for start in starts]
    return Compared(
        unit=either[-1].unit,
        start=tuple(starts),
        end=tuple(point.end for point in either),
        realized=_told(sides[0], starts),
        estimated=_told(sides[1], starts),
        labelled=tuple(_labelled(sides[0].get(start)) for start in starts),
        maturity=tuple(_evidence(sides[0].get(start), "maturity") for start in starts),
        usual=tuple(point.usual for point in either),
    )


def compared_plot(title: str, found: Compared) -> Plot:
    """Return the plot of both sides, with their intervals, and their numbers."""
    middles = tuple((a + b) / 2 for a, b in zip(found.start, found.end, strict=True))
    mine, other = found.realized, found.estimated
    drawing = OverTime(
        at=middles,
        value=mine.value,
        low=mine.low,
        high=mine.high,
        threshold=(None,) * len(middles),
        usual=found.usual,
        alarm=tuple(state == "alarm" for state in mine.state),
        y_title=found.unit,
        other=Other("estimated", other.value, other.low, other.high),
        name="from labels",
    )
    columns = ("Window", "From labels", "n", "Labelled", "Come so far", "Estimated", "n")
    rows = [
        [moment(found.start[i]), _cell(mine, i), mine.n[i] or None, _share(found.labelled[i]),
         _share(found.maturity[i]), _cell(other, i), other.n[i] or None]
        for i in range(len(middles) - 1, max(-1, len(middles) - 1 - MOST_ROWS), -1)
    ]  # fmt: skip
    told = (
        f"{number.plural(len(middles), 'window')} with 95 % intervals. "
        "An estimate cannot see that the same rows came to mean something else; labels can."
    )
    return Plot(title, told, drawing, table(columns, rows, numeric=(2, 3, 4, 6)))


def ages_of(point: SignalPoint | None) -> Ages | None:
    """Return the maturity that the evidence of a point holds, None where it holds none."""
    told = [] if point is None else point.evidence.get("maturity") or []
    if len(told) < 2:
        return None
    columns = ([float(each[name]) for each in told] for name in ("age_us", "share", "low", "high"))
    ages, share, low, high = columns
    return Ages(
        tuple(age / HOUR for age in ages),
        tuple(share),
        tuple(low),
        tuple(high),
        tuple(int(each["n"]) for each in told),
    )


def ages_plot(found: Ages) -> Plot:
    """Return the plot of how labels come in."""
    drawing = Curve(found.hours, found.share, found.low, found.high, "labelled share")
    rows = [
        [f"{hours:g} h", in_percent(share, 1), f"{in_percent(low, 1)} to {in_percent(high, 1)}", n]
        for hours, share, low, high, n in zip(
            found.hours, found.share, found.low, found.high, found.n, strict=True
        )
    ]
    return Plot(
        "How labels come in",
        "The share of predictions that had a label at an age, of those that have reached it; the "
        "band is a 95 % interval.",
        drawing,
        table(("Age", "Labelled", "95 % interval", "n"), rows, numeric=(1, 3)),
    )


def _told(side: dict[int, SignalPoint], starts: list[int]) -> Told:
    found = [side.get(start) for start in starts]
    value, low, high = (
        tuple(None if point is None else getattr(point, name) for point in found)
        for name in ("value", "low", "high")
    )
    return Told(
        value,
        low,
        high,
        tuple(0 if point is None else point.n for point in found),
        tuple("" if point is None else point.state for point in found),
    )


def _cell(told: Told, place: int) -> object:
    value, low, high = told.value[place], told.low[place], told.high[place]
    if value is None:
        return state_cell(told.state[place]) if told.state[place] else None
    if low is None or high is None:
        return number.plain(value)
    return f"{number.plain(value)} [{number.plain(low)}, {number.plain(high)}]"


def _labelled(point: SignalPoint | None) -> float | None:
    answered, labelled = _evidence(point, "answered"), _evidence(point, "labelled")
    return labelled / answered if answered and labelled is not None else None


def _evidence(point: SignalPoint | None, name: str) -> float | None:
    found = None if point is None else point.evidence.get(name)
    return float(found) if isinstance(found, int | float) else None


def _share(value: float | None) -> str | None:
    return None if value is None else in_percent(value, 1)
