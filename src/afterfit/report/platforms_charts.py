"""The drawings of a decision between platforms."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import in_percent
from afterfit.records.platforms import OfferOutcome, PlatformsRecord
from afterfit.report import number
from afterfit.report.page import (
    Bars,
    Cell,
    Chart,
    Dot,
    Front,
    Line,
    Lines,
    Stacked,
    Swing,
    Tornado,
)
from afterfit.report.parts import table

__all__ = ["PARTS", "cost_chart", "front_chart", "tornado_chart", "traffic_charts", "wins_chart"]

PARTS = {
    "compute": "busy",
    "redundancy": "spare",
    "idle": "idle",
    "premium": "premium",
    "cluster": "cluster",
    "requests": "requests",
    "balancer": "balancer",
    "egress": "egress",
    "zones": "zones",
    "cdn": "CDN",
    "storage": "storage",
}
"""Parts of a cost, as people call them."""
GROUPS = {
    "busy machines": ("compute",),
    "spare and idle": ("redundancy", "idle"),
    "managed": ("premium", "cluster"),
    "network": ("balancer", "egress", "zones", "cdn"),
    "requests, storage": ("requests", "storage"),
}
MOST_BARS = 10
WORDS = 26


def short(each: OfferOutcome) -> str:
    """Return a name of an offer for a drawing: its service, and its machine below."""
    service = each.service.partition(" (")[0]
    return f"{_cut(service)}, {_cut(each.machine)}"


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else f"{text[: WORDS - 1]}…"


def cost_chart(priced: Sequence[OfferOutcome]) -> Chart:
    """Return costs in parts, stacked, the offers in the order of the decision."""
    shown = priced[:MOST_BARS]
    parts = tuple(
        (name, tuple(sum(each.costs.get(part, 0.0) for part in group) for each in shown))
        for name, group in GROUPS.items()
    )
    used = tuple(part for part in parts if any(part[1]))
    rows = [
        [short(each), *(Cell(number.plain(amounts[place])) for _, amounts in used)]
        for place, each in enumerate(shown)
    ]
    return Chart(
        title="Cost a month",
        description="USD a month in parts, the best offer first.",
        drawing=Stacked(tuple(short(each) for each in shown), used, "USD a month"),
        table=table(("Offer", *(name for name, _ in used)), rows, numeric=range(1, len(used) + 1)),
        repeats=True,
    )


def front_chart(record: PlatformsRecord) -> Chart | None:
    """Return what else there is for the money: all other criteria against cost."""
    shown = [each for each in record.outcomes if each.usd_per_month and each.values]
    shown = [each for each in shown if each.usd_per_month and each.usd_per_month.value > 0]
    if len(shown) < 2:
        return None
    weights = {name: w for name, w in record.weights.items() if name != "cost" and w > 0}
    total = sum(weights.values())
    if not total:
        return None
    dots, rows = [], []
    for place, each in enumerate(shown, 1):
        rest = sum(w * each.values.get(name, 0.0) for name, w in weights.items()) / total
        cost = each.usd_per_month.value if each.usd_per_month else 0.0
        series = "choice" if each.id == record.choice else (
            "beaten by none everywhere" if each.front else "beaten")  # fmt: skip
        label = str(place) if each.front or each.id == record.choice else ""
        dots.append(Dot(each.title, cost, rest, series, label))
        rows.append([str(place), each.title, Cell(number.plain(cost)),
                     Cell(number.plain(rest, places=2)), series])  # fmt: skip
    return Chart(
        title="What else there is for the money",
        description="Latency, scalability, integration and security by their weights (0 to 1, "
        "upwards is better) against cost; further left is cheaper. Numbers name rows of the table.",
        drawing=Front(tuple(dots), "USD a month", "value without cost"),
        table=table(("", "Offer", "USD a month", "Value without cost", "Standing"), rows,
                    numeric=(2, 3)),
        repeats=True,
    )  # fmt: skip


def wins_chart(record: PlatformsRecord) -> Chart | None:
    """Return how many of the drawn weightings each offer wins."""
    shown = sorted((each for each in record.outcomes if each.wins), key=lambda e: -(e.wins or 0))
    shown = shown[:MOST_BARS]
    if not shown:
        return None
    names = tuple(_cut(each.service) for each in shown)
    shares = tuple(100 * (each.wins or 0.0) for each in shown)
    chosen = next((_cut(e.service) for e in shown if e.id == record.choice), "none of them")
    rows = [[each.service, Cell(in_percent(each.wins or 0.0, 1))] for each in shown]
    return Chart(
        title="Who wins if you weigh otherwise",
        description="Share of weightings, drawn evenly from all that there are, in which a "
        "service is the best with any of its sizes.",
        drawing=Bars(names, shares, "% of weightings", chosen),
        table=table(("Service", "Wins"), rows, numeric=(1,)),
    )


def tornado_chart(record: PlatformsRecord) -> Chart | None:
    """Return what the lead of the choice is at both ends of each assumption."""
    choice = next((each for each in record.outcomes if each.id == record.choice), None)
    if not record.bars or choice is None or choice.score is None:
        return None
    others = [e.score for e in record.outcomes if e.score is not None and e is not choice
              and e.eligible in (choice.eligible, "yes")]  # fmt: skip
    now = choice.score - max(others, default=0.0)
    titles = {each.id: each.title for each in record.outcomes}
    rows = []
    for bar in record.bars:
        for at, lead, winner in (
            (bar.at_low, bar.low, bar.winner_low),
            (bar.at_high, bar.high, bar.winner_high),
        ):
            wins = titles.get(winner, winner) or "the choice"
            rows.append([bar.name, at, Cell(number.plain(lead, places=3)), wins])
    swings = tuple(Swing(b.name, b.low, b.high, b.at_low, b.at_high) for b in record.bars)
    return Chart(
        title="What the lead hangs on",
        description="The lead of the choice over the next offer (score), at both ends of each "
        "assumption; left of the dashed line another one wins.",
        drawing=Tornado(swings, now, "lead, score"),
        table=table(("Assumption", "At", "Lead", "Winner"), rows, numeric=(2,)),
    )


def traffic_charts(record: PlatformsRecord) -> tuple[Chart, ...]:
    """Return the traffic, and the machines of the choice that stand for it, over time."""
    if not record.rates:
        return ()
    hours, rates = zip(*record.rates, strict=True)
    charts = [_over_time("Traffic", "Requests/s, by hours since the start.", hours, rates,
                         "requests/s")]  # fmt: skip
    if record.machines:
        hours, machines = zip(*record.machines, strict=True)
        charts.append(_over_time("Machines of the choice", "Machines that are paid for, by hours "
                                 "since the start.", hours, machines, "machines"))  # fmt: skip
    return tuple(charts)


def _over_time(
    title: str, text: str, hours: tuple[float, ...], values: tuple[float, ...], unit: str
) -> Chart:
    step = max(1, len(hours) // 12)
    rows = [
        [Cell(number.plain(x)), Cell(number.plain(y))]
        for x, y in list(zip(hours, values, strict=True))[::step]
    ]
    return Chart(
        title=title,
        description=text,
        drawing=Lines((Line(unit, hours, values),), "hours", unit),
        table=table(("Hours", unit), rows, numeric=(0, 1), note="Every few points."),
        repeats=True,
    )
