"""Quality over time: what labels show beside what was estimated, and how labels come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from afterfit.core.metric import in_percent
from afterfit.records.signals import SignalPoint
from afterfit.report import number
from afterfit.report.page import Block, Chart, Line, Lines
from afterfit.report.parts import table

__all__ = ["over_time"]

HOUR = 3_600_000_000
NAMES = {"performance": "from labels", "estimate": "estimated without labels"}


def over_time(points: Sequence[SignalPoint]) -> list[Block]:
    """Return a chart of each metric over the stretches of a period, and one of labels by age.

    ``points`` are those of a record: the whole period, then its stretches.
    """
    return [*_metrics(points), *_maturity(points)]


def _metrics(points: Sequence[SignalPoint]) -> Iterator[Chart]:
    found = [point for point in points if point.signal in NAMES]
    longest = max((point.end - point.start for point in found), default=0)
    parts = [point for point in found if point.end - point.start < longest]
    for name in dict.fromkeys(point.subject for point in parts):
        mine = [point for point in parts if point.subject == name]
        known = [point for point in mine if point.value is not None]
        if len({point.start for point in known}) > 1:
            yield _chart(name, mine, min(point.start for point in parts))


def _chart(name: str, points: list[SignalPoint], begin: int) -> Chart:
    title, unit = number.metric_title(name), points[0].unit
    lines = []
    for signal, told in NAMES.items():
        known = [p for p in points if p.signal == signal and p.value is not None]
        if known:
            lines.append(_line(told, known, begin))
    usual = next((point.usual for point in points if point.usual is not None), None)
    ends = [x for line in lines for x in (line.x[0], line.x[-1])]
    if usual is not None and ends:
        lines.append(Line("usual", (min(ends), max(ends)), (usual, usual), reference=True))
    by_start: dict[int, dict[str, SignalPoint]] = {}
    for point in points:
        by_start.setdefault(point.start, {})[point.signal] = point
    rows = [
        [number.plain(_hours(start, begin)), *_cells(told.get("performance")),
         _labelled(told.get("performance")), *_cells(told.get("estimate"))]
        for start, told in sorted(by_start.items())
    ]  # fmt: skip
    columns = ("From, h", "From labels", "n", "Labelled", "Estimated", "n")
    return Chart(
        title=f"{title} over time",
        description=f"{title} in {number.plural(len(rows), 'stretch', 'stretches')} of the period, "
        f"with {100 * points[0].level:g} % intervals.",
        drawing=Lines(tuple(lines), "hours since the first prediction", unit or title),
        table=table(columns, rows, numeric=(0, 1, 2, 3, 4, 5)),
    )


def _line(name: str, points: Sequence[SignalPoint], begin: int) -> Line:
    values = [0.0 if p.value is None else p.value for p in points]
    bounds = [
        tuple(v if b is None else b for v, b in zip(values, side, strict=True))
        for side in ([p.low for p in points], [p.high for p in points])
    ]
    x = tuple(_hours((p.start + p.end) // 2, begin) for p in points)
    return Line(name, x, tuple(values), low=bounds[0], high=bounds[1])


def _hours(moment: int, begin: int) -> float:
    return (moment - begin) / HOUR


def _cells(point: SignalPoint | None) -> tuple[str | None, int | None]:
    if point is None:
        return None, None
    if point.value is None:
        return point.state.replace("_", " "), point.n
    text = number.number(point.value, point.unit)
    if point.low is not None and point.high is not None:
        text += f" [{number.plain(point.low)}, {number.plain(point.high)}]"
    return text, point.n


def _labelled(point: SignalPoint | None) -> str | None:
    told = {} if point is None else point.evidence
    if not told.get("answered"):
        return None
    return in_percent(told["labelled"] / told["answered"], 1)


def _maturity(points: Sequence[SignalPoint]) -> Iterator[Chart]:
    told = next((p.evidence.get("maturity") for p in points if p.evidence.get("maturity")), None)
    if not told or len(told) < 2:
        return
    ages = tuple(each["age_us"] / HOUR for each in told)
    shares, low, high = (tuple(each[name] for each in told) for name in ("share", "low", "high"))
    rows = [
        [f"{age:g}", in_percent(each["share"], 1),
         f"{in_percent(each['low'], 1)} to {in_percent(each['high'], 1)}", each["n"]]
        for age, each in zip(ages, told, strict=True)
    ]  # fmt: skip
    line = Line("labelled", ages, shares, low=low, high=high)
    yield Chart(
        title="How labels come in",
        description="The share of predictions that had a label at an age, "
        "of those that have reached it, with 95 % intervals.",
        drawing=Lines((line,), "age of the prediction, hours", "labelled share"),
        table=table(("Age, h", "Labelled", "95 % interval", "n"), rows, numeric=(0, 1, 2, 3)),
    )
